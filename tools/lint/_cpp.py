"""C++ source as a tree of brackets: as much of a parser as the coroutine lint needs, and no more.

Comments, preprocessor lines and the contents of literals are gone; what is left are tokens, and groups of them in (),
[] and {}. Angle brackets are ordinary tokens. annotate() finds the lambdas and tells blocks from braced lists.
"""

from __future__ import annotations

import re
from typing import Iterator, Union

SCAN = re.compile(
    r"""
    (?P<directive>^[ \t]*\#(?:[^\\\n]|\\.|\\\n)*)
  | (?P<comment>//(?:[^\\\n]|\\.|\\\n)*|/\*.*?\*/)
  | (?P<string>(?:u8|u|U|L)?R"(?P<mark>[^()\\\s]*)\(.*?\)(?P=mark)"\w*|(?:u8|u|U|L)?"(?:\\.|[^"\\\n])*"\w*)
  | (?P<char>(?:u8|u|U|L)?'(?:\\.|[^'\\\n])+'\w*)
  | (?P<number>\.?\d(?:'?[\w.]|(?<=[eEpP])[+-])*)
  | (?P<word>[A-Za-z_]\w*)
  | (?P<mark_>->\*?|::|\.\.\.|<<=|[-+*/%&|^!=<>]=|&&|\|\||\+\+|--|<<|[^\s])
    """,
    re.VERBOSE | re.MULTILINE | re.DOTALL,
)
CLOSING = {"(": ")", "[": "]", "{": "}"}
CONTROL = {"if", "while", "for", "switch", "catch"}
# A word before [ that leaves it the start of a lambda; after any other word it is a subscript or an array bound.
BEFORE_LAMBDA = {"return", "co_return", "co_await", "co_yield", "throw", "else", "do", "case", "and", "or", "not"}


class Unbalanced(Exception):
    def __init__(self, line: int):
        super().__init__(f"brackets do not balance at line {line}")
        self.line = line


class Token:
    __slots__ = ("text", "line", "is_word")

    def __init__(self, text: str, line: int, is_word: bool = False):
        self.text, self.line, self.is_word = text, line, is_word


class Group:
    """What stands between two brackets. `opener` is empty for the file itself."""

    __slots__ = ("opener", "line", "nodes", "parent", "index", "body", "is_block", "is_lambda_body")

    def __init__(self, opener: str, line: int, parent: Group | None, index: int):
        self.opener, self.line, self.parent, self.index = opener, line, parent, index
        self.nodes: list[Node] = []
        self.body: Group | None = None  # of [captures]: the body of that lambda
        self.is_block = not opener  # of {}: holds statements
        self.is_lambda_body = False

    def before(self, steps: int = 1) -> Node | None:
        return self.parent.nodes[self.index - steps] if self.parent and self.index >= steps else None

    def after(self) -> Node | None:
        return self.parent.nodes[self.index + 1] if self.parent and self.index + 1 < len(self.parent.nodes) else None


Node = Union[Token, Group]


def is_token(node: Node | None, *texts: str) -> bool:
    return isinstance(node, Token) and node.text in texts


def is_word(node: Node | None) -> bool:
    return isinstance(node, Token) and node.is_word


def is_group(node: Node | None, *openers: str) -> bool:
    return isinstance(node, Group) and node.opener in openers


def parse(text: str) -> tuple[Group, dict[int, str]]:
    """The tree of a source text, annotated, and its comments by the line they start in. Raises Unbalanced."""
    try:
        return parse_as_written(text)
    except Unbalanced:
        return parse_as_written(without_else_branches(text))


def parse_as_written(text: str) -> tuple[Group, dict[int, str]]:
    root = current = Group("", 1, None, 0)
    comments: dict[int, str] = {}
    line, counted = 1, 0
    for match in SCAN.finditer(text):
        line += text.count("\n", counted, match.start())
        counted = match.start()
        kind, word = match.lastgroup, match.group()
        if match["string"] is not None:
            current.nodes.append(Token('""' + word[word.rindex('"') + 1 :], line))
        elif kind == "directive":
            pass
        elif kind == "comment":
            comments[line] = comments.get(line, "") + word
        elif kind == "char":
            current.nodes.append(Token("''", line))
        elif word in CLOSING:
            group = Group(word, line, current, len(current.nodes))
            current.nodes.append(group)
            current = group
        elif word in CLOSING.values():
            if current.parent is None or CLOSING[current.opener] != word:
                raise Unbalanced(line)
            current = current.parent
        else:
            current.nodes.append(Token(word, line, kind == "word"))
    if current is not root:
        raise Unbalanced(current.line)
    annotate(root)
    return root, comments


def without_else_branches(text: str) -> str:
    """The text with all #else and #elif parts emptied, lines kept: for brackets that open once in each branch."""
    kept, skipping = [], []
    for line in text.split("\n"):
        directive = re.match(r"[ \t]*#[ \t]*(if|elif|else|endif)", line)
        word = directive[1] if directive else ""
        if word == "if":
            skipping.append(False)
        elif word in ("elif", "else") and skipping:
            skipping[-1] = True
        elif word == "endif" and skipping:
            skipping.pop()
        kept.append("" if any(skipping) else line)
    return "\n".join(kept)


# --- lambdas and blocks --------------------------------------------------------------------------


def annotate(group: Group) -> None:
    for index, node in enumerate(group.nodes):
        if is_group(node, "[") and (body := lambda_body(group.nodes, index)):
            node.body = body
            body.is_lambda_body = body.is_block = True
    for node in group.nodes:
        if is_group(node, "{") and not node.is_block:
            node.is_block = holds_statements(node)
    for node in group.nodes:
        if isinstance(node, Group):
            annotate(node)


def lambda_body(nodes: list[Node], index: int) -> Group | None:
    """The body of the lambda whose captures stand at this index; None if these brackets are something else."""
    before = nodes[index - 1] if index else None
    if is_token(before, "auto") or is_token(before, "&", "&&") and index > 1 and is_token(nodes[index - 2], "auto"):
        return None  # a structured binding
    if is_word(before) and before.text not in BEFORE_LAMBDA or is_token(before, ">", '""'):
        return None
    if is_group(before, "[") or is_group(before, "(") and not is_control(before):
        return None
    if any(is_group(node, "[") for node in nodes[index].nodes[:1]):
        return None  # an attribute
    angles = 0
    for node in nodes[index + 1 :]:
        if is_group(node, "{"):
            return node
        if is_token(node, "<"):
            angles += 1
        elif is_token(node, ">"):
            angles -= 1
        elif is_token(node, ",") and angles > 0 or is_group(node, "(") or is_word(node):
            pass
        elif not is_token(node, "->", "::", "...", "*", "&", "&&", "||") and not (angles > 0 and is_token(node, "=")):
            return None
    return None


def is_control(group: Group) -> bool:
    """Whether these are the brackets of `if (...)`, `for (...)` and so on."""
    before = group.before()
    if is_token(before, "constexpr"):
        before = group.before(2)
    return is_group(group, "(") and is_word(before) and before.text in CONTROL


def holds_statements(braces: Group) -> bool:
    """Whether these braces are a block, or a class or namespace body, and not a braced list."""
    if any(is_token(node, ";") for node in braces.nodes):
        return True
    before = braces.before()
    if is_group(before, "("):
        return not is_token(before.before(), "decltype")
    in_block = braces.parent is not None and braces.parent.is_block
    if in_block and (before is None or is_token(before, ";", ":") or is_group(before, "{") and before.is_block):
        return True
    if is_token(before, "else", "do", "try"):
        return True
    return any(is_word(node) and node.text in CONTROL | {"do", "try"} for node in braces.nodes[:1])


# --- walking -------------------------------------------------------------------------------------


def walk(group: Group) -> Iterator[tuple[Group, int, Node]]:
    """Every node below, in order: (the group it stands in, its index there, the node)."""
    for index, node in enumerate(group.nodes):
        yield group, index, node
        if isinstance(node, Group):
            yield from walk(node)


def after_template_arguments(nodes: list[Node], index: int) -> int:
    """Past the `<...>` that starts at this index; the index itself if nothing of the kind starts there."""
    if index >= len(nodes) or not is_token(nodes[index], "<"):
        return index
    depth = 0
    for position in range(index, len(nodes)):
        node = nodes[position]
        if is_token(node, "<"):
            depth += 1
        elif is_token(node, ">"):
            depth -= 1
            if depth == 0:
                return position + 1
        elif isinstance(node, Token) and not (is_word(node) or node.text[0].isdigit()):
            if not is_token(node, "::", ",", "*", "&", "&&", "..."):
                return index
        elif is_group(node, "{"):
            return index
    return index


def split(nodes: list[Node], *separators: str) -> list[list[Node]]:
    """The parts between these tokens, commas of template arguments not counted."""
    parts: list[list[Node]] = [[]]
    index = 0
    while index < len(nodes):
        past = after_template_arguments(nodes, index)
        if past > index:
            parts[-1] += nodes[index:past]
            index = past
            continue
        if is_token(nodes[index], *separators):
            parts.append([])
        else:
            parts[-1].append(nodes[index])
        index += 1
    return parts
