/**
 * Light or dark: as the system, until the visitor says otherwise. No module, since modules run when the page
 * was painted already, and a white page flashes at night.
 */
(() => {
  const NAME = 'impasto.theme';
  const PAPER = { light: '#f6f5f1', dark: '#121614' };
  const prefersDark = matchMedia('(prefers-color-scheme: dark)');

  function chosen() {
    try {
      return localStorage.getItem(NAME);
    } catch {
      return null; // storage is switched off
    }
  }

  /** What the system says needs no remembering: the page then goes on following it. @param {string} theme */
  function choose(theme) {
    const isTheSystems = (theme === 'dark') === prefersDark.matches;
    try {
      if (isTheSystems) localStorage.removeItem(NAME);
      else localStorage.setItem(NAME, theme);
    } catch {
      // It lasts until the page is left.
    }
    show(isTheSystems ? null : theme);
  }

  /** @param {?string} theme  null: the system's */
  function show(theme) {
    const isChosen = theme === 'light' || theme === 'dark';
    if (isChosen) document.documentElement.dataset.theme = theme;
    else delete document.documentElement.dataset.theme;
    /** @type {NodeListOf<HTMLMetaElement>} */
    const metas = document.querySelectorAll('meta[name="theme-color"]');
    for (const meta of metas)
      meta.content = PAPER[isChosen ? theme : meta.media.includes('dark') ? 'dark' : 'light'];
    document.getElementById('theme')?.setAttribute('aria-pressed', String(isDark()));
  }

  function isDark() {
    const theme = document.documentElement.dataset.theme;
    return theme ? theme === 'dark' : prefersDark.matches;
  }

  show(chosen());
  document.addEventListener('DOMContentLoaded', () => {
    document.getElementById('theme')?.addEventListener('click', () => choose(isDark() ? 'light' : 'dark'));
    show(chosen());
  });
  prefersDark.addEventListener('change', () => show(chosen()));
})();
