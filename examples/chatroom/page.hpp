#pragma once
// The pages, whole: they need nothing from anywhere else.

#include <string_view>

namespace chat {

inline constexpr std::string_view chat_page = R"page(<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1, interactive-widget=resizes-content">
<title>Chat room</title>
<link rel="icon" href="data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E%3Crect width='16' height='16' rx='4' fill='%234654c8'/%3E%3Cpath d='M4 5h8v5H7l-3 2z' fill='white'/%3E%3C/svg%3E">
<style>
:root { color-scheme: light dark; --page: #f3f4f8; --card: #fff; --ink: #1c2030; --soft: #6b7186; --line: #e1e4ee;
  --accent: #4654c8; --on-accent: #fff; --mine: #e6e9ff; --good: #2b9a5b; --bad: #d08417; --name: 42%; --head: 3.6rem; }
@media (prefers-color-scheme: dark) { :root { --page: #12141c; --card: #1b1e2a; --ink: #e7e9f2; --soft: #969cb2;
  --line: #2a2e3e; --accent: #8792ff; --on-accent: #10121a; --mine: #2a3060; --good: #4cc585; --bad: #e6a548; --name: 70%; } }
* { box-sizing: border-box; }
html, body { height: 100%; }
body { margin: 0; background: var(--page); color: var(--ink); font: 16px/1.45 system-ui, "Segoe UI", Roboto, sans-serif; }
button, input { font: inherit; color: inherit; }
#app { height: 100dvh; max-width: 64rem; margin: 0 auto; display: grid; grid-template: auto 1fr auto / 1fr 15rem;
  grid-template-areas: "head side" "log side" "say side"; background: var(--card); }
@media (min-width: 66rem) { #app { height: calc(100dvh - 2rem); margin: 1rem auto; border: 1px solid var(--line);
  border-radius: 14px; overflow: hidden; } }
header { grid-area: head; height: var(--head); display: flex; align-items: center; gap: .6rem; padding: 0 1rem; border-bottom: 1px solid var(--line); min-width: 0; }
header h1 { margin: 0; font-size: 1.1rem; white-space: nowrap; overflow: hidden; text-overflow: ellipsis; }
header .grow { flex: 1; }
header button { padding: .35rem .8rem; font-size: .9rem; }
#dot { width: .6rem; height: .6rem; border-radius: 50%; background: var(--bad); flex: none; }
#dot.on { background: var(--good); }
#status, .soft { color: var(--soft); font-size: .85rem; }
#status { white-space: nowrap; }
#log { grid-area: log; overflow-y: auto; padding: 1rem; margin: 0; display: flex; flex-direction: column; gap: .3rem; overscroll-behavior: contain; }
#log > :first-child { margin-top: auto; }
.notice { align-self: center; color: var(--soft); font-size: .82rem; padding: .1rem .6rem; text-align: center; overflow-wrap: anywhere; }
.message { max-width: min(34rem, 88%); align-self: flex-start; background: var(--page); border-radius: 4px 14px 14px 14px; padding: .4rem .8rem .5rem; }
.message.mine { align-self: flex-end; background: var(--mine); border-radius: 14px 4px 14px 14px; }
.message .who { font-size: .8rem; font-weight: 650; display: flex; gap: .6rem; align-items: baseline; }
.message time { font-weight: 400; color: var(--soft); font-size: .72rem; }
.message p { margin: 0; overflow-wrap: anywhere; white-space: pre-wrap; }
#say { grid-area: say; display: flex; gap: .5rem; padding: .7rem 1rem calc(.7rem + env(safe-area-inset-bottom)); border-top: 1px solid var(--line); }
#say input { flex: 1; min-width: 0; }
input { background: var(--page); border: 1px solid var(--line); border-radius: 10px; padding: .55rem .8rem; }
input:focus-visible, button:focus-visible { outline: 2px solid var(--accent); outline-offset: 1px; }
button { border: 1px solid var(--line); border-radius: 10px; background: var(--card); padding: .55rem .9rem; cursor: pointer; }
button.main { background: var(--accent); border-color: var(--accent); color: var(--on-accent); font-weight: 600; }
button:disabled { opacity: .5; cursor: default; }
aside { grid-area: side; border-left: 1px solid var(--line); padding: .9rem 1rem; overflow-y: auto; display: flex; flex-direction: column; gap: .25rem; }
aside h2 { margin: .4rem 0 .2rem; font-size: .75rem; letter-spacing: .06em; text-transform: uppercase; color: var(--soft); }
aside ul { list-style: none; margin: 0 0 .6rem; padding: 0; }
aside li { overflow-wrap: anywhere; padding: .1rem 0; }
.room { display: flex; width: 100%; justify-content: space-between; gap: .5rem; text-align: left; border: 0; padding: .35rem .6rem; background: none; }
.room:hover { background: var(--page); }
.room.here { background: var(--mine); font-weight: 600; }
.room span:first-child { overflow-wrap: anywhere; }
aside footer { margin-top: auto; font-size: .85rem; color: var(--soft); overflow-wrap: anywhere; }
aside footer code { user-select: all; }
aside a { color: var(--accent); }
#people-button { display: none; }
@media (max-width: 44rem) {
  #app { grid-template: auto 1fr auto / 1fr; grid-template-areas: "head" "log" "say"; }
  aside { display: none; position: fixed; inset: var(--head) 0 0 auto; width: min(18rem, 86vw); background: var(--card); z-index: 2; box-shadow: -8px 0 24px #0003; }
  aside.open { display: flex; }
  #people-button { display: block; }
  #status { display: none; }
}
dialog { border: 1px solid var(--line); border-radius: 16px; padding: 1.4rem; width: min(22rem, calc(100vw - 2rem)); background: var(--card); color: var(--ink); }
dialog::backdrop { background: #0f122099; backdrop-filter: blur(2px); }
dialog h2 { margin: 0 0 .2rem; font-size: 1.3rem; }
dialog p { margin: 0 0 1rem; }
dialog label { display: block; font-size: .85rem; color: var(--soft); margin-bottom: .7rem; }
dialog input { display: block; width: 100%; color: var(--ink); font-size: 1rem; margin-top: .2rem; }
dialog button { width: 100%; margin-top: .3rem; }
</style>
</head>
<body>
<div id="app">
  <header>
    <span id="dot"></span><h1 id="title">Chat room</h1><span class="grow"></span>
    <span id="status" role="status">not connected</span>
    <button id="people-button" aria-controls="side">Rooms</button>
    <button id="change">Change</button>
  </header>
  <div id="log" role="log" aria-live="polite"></div>
  <form id="say"><input id="text" placeholder="Say something" maxlength="800" autocomplete="off" aria-label="Message" disabled>
    <button class="main" id="send" disabled>Send</button></form>
  <aside id="side">
    <h2>Rooms</h2><ul id="rooms"></ul>
    <h2>Here</h2><ul id="people"></ul>
    <footer><a href="/debug/tasks">Live tasks</a> of this server</footer>
  </aside>
</div>
<dialog id="join"><form method="dialog" id="join-form">
  <h2>Come in</h2><p class="soft">Browsers and terminals meet in the same rooms.</p>
  <label>Your name<input id="nick" maxlength="24" required autocomplete="nickname"></label>
  <label>Room<input id="room" maxlength="24" required value="lobby" autocomplete="off"></label>
  <button class="main">Join</button>
</form></dialog>
<script>
"use strict";
const $ = id => document.getElementById(id);
const log = $("log"), join = $("join");
let me = "", room = "", token = "", server = "", wish = "", source = null, lastId = 0, retry = 0, refresh = 0;

const remember = (key, value) => { try { localStorage.setItem("chat-" + key, value); } catch {} };
const recall = key => { try { return localStorage.getItem("chat-" + key) || ""; } catch { return ""; } };

function element(tag, className, text) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;   // never as HTML
  return made;
}
function hue(name) {
  let sum = 7;
  for (const c of name) sum = (sum * 31 + c.codePointAt(0)) % 360;
  return sum;
}
function show(node) {
  const atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 80;
  log.append(node);
  while (log.childElementCount > 500) log.firstElementChild.remove();
  if (atEnd || node.classList.contains("mine")) log.scrollTop = log.scrollHeight;
}
function showMessage(event) {
  const box = element("div", "message" + (event.nick === me ? " mine" : ""));
  const who = element("div", "who"), name = element("span", "", event.nick);
  name.style.color = `hsl(${hue(event.nick)} 60% var(--name))`;
  const now = new Date();
  const time = element("time", "", now.toLocaleTimeString([], {hour: "2-digit", minute: "2-digit"}));
  time.dateTime = now.toISOString();
  who.append(name, time);
  box.append(who, element("p", "", event.text));
  show(box);
}
function setStatus(on, text) {
  $("dot").classList.toggle("on", on);
  $("status").textContent = text;
  $("text").disabled = $("send").disabled = !on;
}
function received(message) {
  const event = JSON.parse(message.data);
  if (event.kind === "welcome") {
    me = event.nick; token = event.token;
    if (server !== event.server) { server = event.server; lastId = 0; }   // it started anew, and so do its numbers
    if (room !== event.room) { room = event.room; log.replaceChildren(); }
    $("title").textContent = document.title = room;
    setStatus(true, "you are " + me);
    refreshRooms();
    return;
  }
  if (event.id <= lastId) return;
  lastId = event.id;
  if (event.kind === "message") showMessage(event);
  else { show(element("div", "notice", event.nick + " " + event.text)); refreshRooms(); }
}
function connect() {
  clearTimeout(retry);
  if (source) source.close();
  setStatus(false, "connecting");
  source = new EventSource("/events?" + new URLSearchParams({nick: wish, room: recall("room") || "lobby"}));
  source.onmessage = received;
  source.onerror = () => {
    setStatus(false, "reconnecting");
    // A browser gives up when it is answered with an error; we do not.
    if (source.readyState === EventSource.CLOSED) retry = setTimeout(connect, 2000);
  };
}
function enter(nick, name) {
  wish = nick;
  remember("nick", nick); remember("room", name);
  lastId = 0; room = "";
  connect();
}
async function refreshRooms() {
  clearTimeout(refresh);
  refresh = setTimeout(refreshRooms, 15000);
  let answer;
  try { answer = await (await fetch("/rooms")).json(); } catch { return; }
  $("rooms").replaceChildren(...answer.rooms.map(item => {
    const entry = element("li"), button = element("button", "room" + (item.name === room ? " here" : ""));
    button.append(element("span", "", item.name), element("span", "soft", String(item.people.length)));
    button.onclick = () => { $("side").classList.remove("open"); if (item.name !== room) enter(wish, item.name); };
    entry.append(button);
    return entry;
  }));
  const here = answer.rooms.find(item => item.name === room);
  $("people").replaceChildren(...(here ? here.people : []).map(name => {
    const entry = element("li", "", name + (name === me ? " (you)" : ""));
    return entry;
  }));
}
$("say").onsubmit = async submit => {
  submit.preventDefault();
  const text = $("text").value;
  if (!text.trim()) return;
  $("text").value = "";
  let said = false;
  try { said = (await fetch("/say", {method: "POST", body: new URLSearchParams({token, text})})).ok; } catch {}
  if (!said) {
    show(element("div", "notice", "that was not sent; try again"));
    if (!$("text").value) $("text").value = text;
  }
  $("text").focus();
};
$("join-form").onsubmit = () => { enter($("nick").value.trim() || "guest", $("room").value.trim() || "lobby"); $("text").focus(); };
$("change").onclick = () => { $("nick").value = wish; $("room").value = room || "lobby"; join.showModal(); };
$("people-button").onclick = () => $("side").classList.toggle("open");
join.oncancel = cancel => { if (!source) cancel.preventDefault(); };
$("nick").value = recall("nick"); $("room").value = recall("room") || "lobby";
join.showModal();
</script>
</body>
</html>
)page";

/// The page of live tasks, before and after what changes.
inline constexpr std::string_view tasks_page_start = R"page(<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="refresh" content="2">
<title>Live tasks</title>
<style>
:root { color-scheme: light dark; --page: #f3f4f8; --card: #fff; --ink: #1c2030; --line: #e1e4ee; --accent: #4654c8; }
@media (prefers-color-scheme: dark) { :root { --page: #12141c; --card: #1b1e2a; --ink: #e7e9f2; --line: #2a2e3e; --accent: #8792ff; } }
body { margin: 0 auto; max-width: 80rem; padding: 1.2rem; background: var(--page); color: var(--ink); font: 16px/1.45 system-ui, "Segoe UI", Roboto, sans-serif; }
h1 { font-size: 1.3rem; margin: 0; }
#tasks { background: var(--card); border: 1px solid var(--line); border-radius: 12px; padding: .3rem 1rem; }
#tasks div { font: 13px/1.6 ui-monospace, Consolas, monospace; padding: .45rem 0; overflow-wrap: anywhere;
  margin-left: calc(var(--depth) * 1.5rem + 2rem); text-indent: -2rem; }
#tasks div + div { border-top: 1px solid var(--line); }
a { color: var(--accent); }
</style>
</head>
<body>
<h1>Live tasks</h1>
)page";
inline constexpr std::string_view tasks_page_end =
    R"page(<p>Each entry is a task; one that another awaits stands below it. It shows what it waits for and where,
innermost first. The page reloads itself.
<a href="/">Back to the chat</a></p>
</body>
</html>
)page";

}  // namespace chat
