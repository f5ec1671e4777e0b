// Dark or light: as the system has it, or as the switch says.
const kKey = "tandem.theme";

export type Theme = "" | "dark" | "light";
export const theme = () => (localStorage.getItem(kKey) ?? "") as Theme;

export function applyTheme(next: Theme = theme()) {
  next ? localStorage.setItem(kKey, next) : localStorage.removeItem(kKey);
  next ? (document.documentElement.dataset.theme = next) : delete document.documentElement.dataset.theme;
}
