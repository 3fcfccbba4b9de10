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

for (const link of document.querySelectorAll("[data-dialog]")) {
  const dialog = document.getElementById(link.dataset.dialog);
  link.setAttribute("role", "button");
  link.setAttribute("aria-haspopup", "dialog");
  link.addEventListener("click", (event) => {
    event.preventDefault();
    dialog.showModal();
    dialog.querySelector("[data-close]").focus();
  });
  link.addEventListener("keydown", (event) => {
    if (event.key === " ") { // as buttons do
      event.preventDefault();
      link.click();
    }
  });
}

for (const link of document.querySelectorAll("[data-close]")) {
  const dialog = link.closest("dialog");
  link.setAttribute("role", "button");
  link.addEventListener("click", (event) => {
    if (dialog.open) {
      event.preventDefault();
      dialog.close();
    }
  });
  link.addEventListener("keydown", (event) => {
    if (event.key === " ") {
      event.preventDefault();
      link.click();
    }
  });
}

// A click beside a dialog closes it.
for (const dialog of document.querySelectorAll("dialog")) {
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog) {
      dialog.close();
    }
  });
}

// A form is sent once, however often its button is pressed.
for (const form of document.querySelectorAll("form[method=post]")) {
  form.addEventListener("submit", (event) => {
    if (form.dataset.sent) {
      event.preventDefault();
    }
    form.dataset.sent = "yes";
  });
}
window.addEventListener("pageshow", () => {
  for (const form of document.querySelectorAll("form")) {
    delete form.dataset.sent;
  }
});

// What was refused comes first for who cannot see it.
const refusal = document.querySelector("[role=alert]");
if (refusal) {
  refusal.tabIndex = -1;
  refusal.focus();
}
