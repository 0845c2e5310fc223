// Keeps a page of one's own live: the hub says that something has changed, and the page is asked for again.
"use strict";
const main = document.getElementById("main");
let late = false;
// Who presses, reads with the keyboard or writes something there is left alone until that is over.
const busy = () =>
  main.contains(document.activeElement) ||
  [...main.querySelectorAll("input:not([type=hidden])")].some((input) => input.value);
async function look() {
  late = busy();
  if (late) return;
  const answer = await fetch(location.href);
  if (!answer.ok) return;
  const next = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById("main");
  late = busy();
  if (next && !late) main.replaceChildren(...next.childNodes);
}
new EventSource(document.currentScript.dataset.live).addEventListener("changed", look);
main.addEventListener("focusout", () => setTimeout(() => late && look()));
