// What the theme adds to a page by script gets what a keyboard and a screen reader need: tables that scroll, copy buttons.
const named = () => {
  document.querySelectorAll(".md-typeset__scrollwrap").forEach((wrap) => {
    wrap.tabIndex = 0;
    wrap.setAttribute("role", "group");
    wrap.setAttribute("aria-label", "Table");
  });
  document.querySelectorAll(".md-code__nav").forEach((nav, index) => {
    nav.setAttribute("aria-label", `Code block ${index + 1}`);
  });
};
new MutationObserver(named).observe(document.body, { childList: true, subtree: true });
named();
