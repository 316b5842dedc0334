#!/usr/bin/env python3
"""Finds, in the project's own sources and documents, the coroutine expressions that g++ 12 compiles wrongly.

g++ 12 destroys some temporaries of a full expression with `co_await` or `co_yield` twice (GCC PR 99576). Which ones it
destroys properly depends on types, which a lint of the text does not see; so it asks for the harmless way to write each
form, and a place that is known to be harmless says so on its line or the line above:

    co_await run([count] { ... });  // hazard-ok: an int

Whether a form is broken is a matter of one full expression: what a lambda inside it does is judged on its own, and what
was hoisted to a statement of its own is fine. `--self-test` checks the lint against snippets of both kinds.
"""

from __future__ import annotations

import pathlib
import re
import sys
from typing import Iterator, NamedTuple

import _hazard_snippets
from _checkout import CPP_SUFFIXES, files, finish, shown
from _cpp import (
    Group,
    Node,
    Token,
    Unbalanced,
    after_template_arguments,
    is_control,
    is_group,
    is_token,
    is_word,
    parse,
    split,
    walk,
)

PLACES = ("framework", "protocols", "tools", "examples", "test", "bench")
DOCUMENTS = ("README.md", "docs")

HOIST = ", in an expression with co_await: "
CAPTURE = "a lambda that captures by value" + HOIST + "hoist it, `auto fn = [...]; co_await f(std::move(fn));`"
INVOKED = "a capturing lambda called on the spot" + HOIST + "give the lambda a name first"
DANGLING = "a capturing lambda coroutine called on the spot: its captures die here; use create_task(fn, args...)"
AWAIT_BRACES = "a temporary made with braces is awaited: give its type a constructor and write Type(...), or name it"
AWAIT_CHOICE = "the awaited operand is chosen with ?: write if and else"
AWAIT_IN_BRANCH = "co_await in a branch of ?: write if and else"
CHOICE = "?: that may make a temporary" + HOIST + "choose in a statement before"
BRACED_ARGUMENT = "a braced list as an argument" + HOIST + "name the object first"
AGGREGATE = "a temporary aggregate" + HOIST + "give the type a constructor, or name the object first"
BRACED_AWAIT = "co_await inside a braced list: await in a statement before"

AWAITS = ("co_await", "co_yield")
STARTERS = {"create_task", "ensure_future", "run_coroutine_threadsafe"}
CLOCK = {"hours", "minutes", "seconds", "milliseconds", "microseconds", "nanoseconds", "duration", "time_point"}
# Calls known to yield something without a destructor.
PLAIN_CALLS = CLOCK | {"size", "length", "count", "empty", "has_value", "load", "time", "now"}
# Words in the type of a member that has no destructor.
PLAIN_TYPES = CLOCK | set("bool char short int long unsigned signed float double void".split())
PLAIN_TYPES |= set("auto const mutable std chrono weft size_t ptrdiff_t byte string_view span pid_t".split())
PLAIN_TYPES |= {"source_location", "coroutine_handle", "steady_clock"}
PLAIN_TYPES |= {f"{sign}int{bits}_t" for sign in ("", "u") for bits in (8, 16, 32, 64)}
# What a declaration in a class may start with without being a data member.
NO_MEMBER = set("static using typedef friend struct class enum template".split())


class Finding(NamedTuple):
    line: int
    what: str


# --- the full expression around a co_await -------------------------------------------------------


class Expression(NamedTuple):
    """Nodes [start, end) of a group: one full expression, or a statement of several."""

    group: Group
    start: int
    end: int

    def nodes(self) -> list[Node]:
        return self.group.nodes[self.start : self.end]


def full_expression(group: Group, index: int) -> Expression:
    """The one around the node at this index."""
    while not group.is_block and not is_control(group) and group.parent is not None:
        group, index = group.parent, group.index
    start = index
    while start > 0 and not ends_statement(group.nodes[start - 1]):
        start -= 1
    end = index
    while end < len(group.nodes) and not (end > index and ends_statement(group.nodes[end])):
        end += 1
    return Expression(group, start, end)


def ends_statement(node: Node) -> bool:
    if isinstance(node, Token):
        return node.text in (";", "else", "do")
    return is_control(node) or node.opener == "{" and node.is_block and not node.is_lambda_body


def inside(nodes: list[Node]) -> Iterator[Node]:
    """The nodes and what is in their brackets, but not in the bodies of lambdas: those run another time."""
    for node in nodes:
        yield node
        if isinstance(node, Group) and not node.is_lambda_body:
            yield from inside(node.nodes)


def awaits(nodes: list[Node]) -> bool:
    return any(is_token(node, *AWAITS) for node in inside(nodes))


# --- the forms -----------------------------------------------------------------------------------


def captures(brackets: Group) -> list[list[Node]]:
    return [item for item in split(brackets.nodes, ",") if item]


def captures_by_value(brackets: Group) -> bool:
    return any(not is_token(item[0], "&", "this") for item in captures(brackets))


def is_called(brackets: Group) -> bool:
    """Whether the lambda with these captures is called where it is written: [...] {...}() or ([...] {...})()."""
    body = brackets.body
    following = body.after()
    if following is None and is_group(body.parent, "("):
        following = body.parent.after()
    return is_group(following, "(")


def check_lambda(brackets: Group) -> Iterator[Finding]:
    if captures(brackets) and is_called(brackets):
        yield Finding(brackets.line, INVOKED)
    elif captures_by_value(brackets):
        yield Finding(brackets.line, CAPTURE)


def type_of_braces(braces: Group) -> str:
    """T of `T{...}` and of `T name{...}` and `T name = {...}`, as far as it is written; else empty."""
    nodes, index = braces.parent.nodes, braces.index - 1
    if index >= 0 and is_token(nodes[index], ">"):
        while index >= 0 and not is_token(nodes[index], "<"):
            index -= 1
        index -= 1
    return nodes[index].text if index >= 0 and is_word(nodes[index]) else ""


def check_braces(braces: Group, aggregates: set[str]) -> Iterator[Finding]:
    before = braces.before()
    first_of_group = before is None and braces.parent.opener in ("(", "{")
    if first_of_group or is_token(before, ",", "co_yield"):
        yield Finding(braces.line, BRACED_ARGUMENT)
        return
    designated = is_token(braces.nodes[0], ".") if braces.nodes else False
    declared_as = type_of_braces(before_name(braces)) if awaits(braces.nodes) else ""
    if designated or type_of_braces(braces) in aggregates or declared_as in aggregates:
        yield Finding(braces.line, AGGREGATE)
    elif awaits(braces.nodes) and len(split(braces.nodes, ",")) > 1:
        yield Finding(braces.line, BRACED_AWAIT)


def before_name(braces: Group) -> Group:
    """Stands where the braces of `T name{...}` or `T name = {...}` would stand without the name."""
    index = braces.index - (2 if is_token(braces.before(), "=") else 1)
    return Group("{", braces.line, braces.parent, max(index, 0))


def check_awaited(nodes: list[Node], index: int) -> Iterator[Finding]:
    """The operand right of the co_await at this index."""
    operand = nodes[index + 1] if index + 1 < len(nodes) else None
    if is_group(operand, "(") and any(is_token(node, "?") for node in operand.nodes):
        yield Finding(operand.line, AWAIT_CHOICE)
    past = index + 1
    while past < len(nodes) and (is_word(nodes[past]) or is_token(nodes[past], "::")):
        past = after_template_arguments(nodes, past + 1)
    if past > index + 1 and past < len(nodes) and is_group(nodes[past], "{") and not nodes[past].is_block:
        yield Finding(nodes[past].line, AWAIT_BRACES)


def check_choices(nodes: list[Node]) -> Iterator[Finding]:
    """The ?: among these nodes, not those inside their brackets."""
    for part in split(nodes, ",", ";"):
        marks = [index for index, node in enumerate(part) if is_token(node, "?")]
        if not marks:
            continue
        if marks[0] > 0 and awaits(part[marks[0] :]):
            yield Finding(part[marks[0]].line, AWAIT_IN_BRANCH)
        elif may_make_temporary(split(part[marks[0] + 1 :], "?", ":")):
            yield Finding(part[marks[0]].line, CHOICE)


def may_make_temporary(branches: list[list[Node]]) -> bool:
    """Whether a ?: with these branches may yield an object with a destructor."""
    literal = [any(is_token(node, '""') for node in branch) for branch in branches]
    if any(literal) and not all(literal):  # a string and a literal make a string
        return True
    return any(map(is_temporary, branches))


def is_temporary(branch: list[Node]) -> bool:
    if any(is_token(node, "nullopt", '""s') for node in branch):
        return True
    if any(is_token(node, "+") for node in branch) and any(is_token(node, '""') for node in branch):
        return True
    for index, node in enumerate(branch):
        if is_group(node, "{"):
            return True
        if is_group(node, "("):
            before = branch[index - 1] if index else None
            if is_word(before):
                plain = before.text in PLAIN_CALLS
            elif is_token(before, ">"):
                plain = is_plain_cast(branch[:index])
            else:
                plain = not is_temporary(node.nodes)  # brackets around an operand
            if not plain:
                return True
    return False


def is_plain_cast(nodes: list[Node]) -> bool:
    """Whether these nodes end with static_cast<a type without a destructor>."""
    words = []
    for node in reversed(nodes):
        if is_token(node, "<"):
            return set(words) <= PLAIN_TYPES
        if is_word(node):
            words.append(node.text)
    return False


def check_expression(expression: Expression, aggregates: set[str]) -> Iterator[Finding]:
    nodes = expression.nodes()
    yield from check_choices(nodes)
    for index, node in enumerate(nodes):
        if is_token(node, "co_await"):
            yield from check_awaited(nodes, index)
    for node in inside(nodes):
        if not isinstance(node, Group) or node.is_lambda_body:
            continue
        if not is_token(node.before(), "co_await"):  # check_awaited looks at these
            yield from check_choices(node.nodes)
        for index, within in enumerate(node.nodes):
            if is_token(within, "co_await"):
                yield from check_awaited(node.nodes, index)
        if node.body is not None:
            yield from check_lambda(node)
        elif node.opener == "{" and not node.is_block:
            yield from check_braces(node, aggregates)


def check_dangling(brackets: Group) -> Iterator[Finding]:
    """A capturing lambda coroutine that is called on the spot and outlives the statement."""
    if not captures(brackets) or not is_called(brackets):
        return
    if not any(is_token(node, "co_await", "co_return", "co_yield") for node in inside(brackets.body.nodes)):
        return
    before, around = brackets.before(), brackets.parent
    if is_token(before, "=", "return", "co_return"):
        yield Finding(brackets.line, DANGLING)
    elif is_group(around, "(") and is_word(around.before()) and around.before().text in STARTERS:
        yield Finding(brackets.line, DANGLING)


# --- aggregates ----------------------------------------------------------------------------------


def aggregates_of(root: Group) -> set[str]:
    """The structs of a file that have no constructor and a member that may have a destructor."""
    found = set()
    for group, index, node in walk(root):
        if not is_token(node, "struct") or index + 2 >= len(group.nodes):
            continue
        name = group.nodes[index + 1]
        past = after_template_arguments(group.nodes, index + 2)
        if past < len(group.nodes) and is_token(group.nodes[past], "final"):
            past += 1
        if past < len(group.nodes) and is_word(name) and is_group(group.nodes[past], "{"):
            if is_aggregate(name.text, group.nodes[past]):
                found.add(name.text)
    return found


def is_aggregate(name: str, body: Group) -> bool:
    nodes = body.nodes
    plain = True
    for index, node in enumerate(nodes):
        if is_token(node, "virtual", "private", "protected"):
            return False
        if is_token(node, name) and index + 1 < len(nodes) and is_group(nodes[index + 1], "("):
            if index and is_token(nodes[index - 1], "~"):
                plain = False
            else:
                return False
    return not plain or not all(map(is_plain_member, members(nodes)))


def members(nodes: list[Node]) -> Iterator[list[Node]]:
    """The declarations in a class body."""
    declaration: list[Node] = []
    for index, node in enumerate(nodes):
        ends = is_token(node, ";") or is_group(node, "{") and node.is_block
        if not ends:
            declaration.append(node)
        elif declaration:
            yield declaration
            declaration = []


def is_plain_member(declaration: list[Node]) -> bool:
    """Whether this declares a member without a destructor, or no data member at all."""
    if is_word(declaration[0]) and declaration[0].text in NO_MEMBER:
        return True
    if any(is_group(node, "(") for node in split(declaration, "=")[0]):
        return True  # a function
    words = []
    for node in declaration:
        if is_token(node, "*", "&"):
            return True
        if is_token(node, "=") or is_group(node, "{"):
            break
        if is_word(node):
            words.append(node.text)
    return set(words[:-1]) <= PLAIN_TYPES


# --- files ---------------------------------------------------------------------------------------


def check(root: Group, comments: dict[int, str], aggregates: set[str]) -> list[Finding]:
    """The findings of one file, in order, those excused by a comment left out."""
    found: set[Finding] = set()
    done: set[tuple[int, int]] = set()
    for group, index, node in walk(root):
        if is_token(node, *AWAITS) and not (index and is_token(group.nodes[index - 1], "operator")):
            expression = full_expression(group, index)
            key = (id(expression.group), expression.start)
            if key not in done:
                done.add(key)
                found.update(check_expression(expression, aggregates))
        elif is_group(node, "[") and node.body is not None:
            found.update(check_dangling(node))

    def excused(line: int) -> bool:
        return any(re.search(r"hazard-ok:\s*\S", comments.get(place, "")) for place in (line, line - 1))

    return sorted(finding for finding in found if not excused(finding.line))


def code_blocks(document: str) -> Iterator[str]:
    """The C++ blocks of a Markdown document, each behind as many empty lines as stand before it there."""
    lines = document.split("\n")
    start = None
    for number, line in enumerate(lines):
        if start is None and re.match(r"\s*```\s*(cpp|c\+\+)\b", line):
            start = number + 1
        elif start is not None and line.strip().startswith("```"):
            yield "\n" * start + "\n".join(lines[start:number])
            start = None


def read(path: pathlib.Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace")


def check_files() -> None:
    problems: list[str] = []
    parsed = []
    for path in files(*PLACES, suffixes=CPP_SUFFIXES):
        try:
            parsed.append((path, *parse(read(path))))
        except Unbalanced as error:
            problems.append(f"{shown(path)}:{error.line}: the brackets do not balance, so this file was not checked")
    documents = files(*DOCUMENTS, suffixes=(".md",))
    for path in documents:
        for block in code_blocks(read(path)):
            try:
                parsed.append((path, *parse(block)))
            except Unbalanced:
                pass  # an excerpt
    shared = set().union(*(aggregates_of(root) for path, root, _ in parsed if path.suffix in (".hpp", ".h")))
    for path, root, comments in parsed:
        for finding in check(root, comments, shared | aggregates_of(root)):
            problems.append(f"{shown(path)}:{finding.line}: {finding.what}")
    finish(problems, f"{len({path for path, *_ in parsed})} files")


def self_test() -> None:
    problems = []
    messages = {name: value for name, value in globals().items() if name.isupper() and isinstance(value, str)}
    for expected, snippets in _hazard_snippets.SNIPPETS.items():
        for snippet in snippets:
            root, comments = parse("Coro<> coroutine() {\n" + snippet + "\n}\n")
            found = {finding.what for finding in check(root, comments, aggregates_of(root))}
            wanted = {messages[expected]} if expected else set()
            if found != wanted:
                names = [name for name, value in messages.items() if value in found]
                problems.append(f"expected {expected or 'nothing'}, found {', '.join(names) or 'nothing'}: {snippet}")
    finish(problems, f"{sum(map(len, _hazard_snippets.SNIPPETS.values()))} snippets")


if __name__ == "__main__":
    self_test() if "--self-test" in sys.argv[1:] else check_files()
