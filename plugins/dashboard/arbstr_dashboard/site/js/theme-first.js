// Before anything is drawn: light or dark, where the operator has chosen; else as the system has it.
{
  const chosen = localStorage.getItem("arbstr.theme");
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
}
