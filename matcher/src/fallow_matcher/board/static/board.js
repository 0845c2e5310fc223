// Keeps the federation's page live: the hub sends each section that has changed, as HTML that it has escaped.
"use strict";
const events = new EventSource("/live");
events.addEventListener("section", (event) => {
  const end = event.data.indexOf("\n");
  const section = document.getElementById(event.data.slice(0, end));
  if (!section || section.contains(document.activeElement)) return;
  section.innerHTML = event.data.slice(end + 1);
});
events.addEventListener("at", (event) => {
  const at = document.getElementById("at");
  if (at) at.textContent = event.data;
});
