// What all pages do with scripts, beyond what they do without: copying, and dialogs.
"use strict";

for (const button of document.querySelectorAll("[data-copy]")) {
  const field = document.getElementById(button.dataset.copy);
  const said = document.getElementById("copied");
  button.hidden = false;
  button.addEventListener("click", async () => {
    field.select();
    try {
      await navigator.clipboard.writeText(field.value);
      said.textContent = "Copied.";
    } catch {
      // The clipboard is for pages over HTTPS, or of this machine.
      said.textContent = document.execCommand("copy") ? "Copied." : "It is selected: copy it with the keyboard.";
    }
  });
}

// asButton has a link, which works without scripts, do something else as a button does.
function asButton(link, act) {
  link.setAttribute("role", "button");
  link.addEventListener("click", (event) => {
    event.preventDefault();
    act();
  });
  link.addEventListener("keydown", (event) => {
    if (event.key === " ") {
      event.preventDefault();
      act();
    }
  });
}

for (const link of document.querySelectorAll("[data-dialog]")) {
  const dialog = document.getElementById(link.dataset.dialog);
  link.setAttribute("aria-haspopup", "dialog");
  asButton(link, () => {
    dialog.showModal();
    dialog.querySelector("[data-close]").focus();
  });
}

for (const link of document.querySelectorAll("[data-close]")) {
  asButton(link, () => link.closest("dialog").close());
}

// A form is sent once, however fast its button is pressed again.
for (const form of document.querySelectorAll("form[method=post]")) {
  let sent = -Infinity;
  form.addEventListener("submit", (event) => {
    if (event.timeStamp - sent < 2000) {
      event.preventDefault();
      return;
    }
    sent = event.timeStamp;
  });
}

// What was refused comes first for who cannot see it.
const refusal = document.querySelector("[role=alert]");
if (refusal) {
  refusal.tabIndex = -1;
  refusal.focus();
}
