// A deck: only the slides of the short cut with ?cut=15, mathematics for the speaker's window, keys on a slider.
(() => {
  const LEAVE = { PageDown: "next", PageUp: "prev", Escape: "" }; // a presenter's remote control sends the first two

  // Arrows, Home and End move a slider that has the focus and turn no page.
  document.addEventListener("keydown", (event) => {
    const control = event.target.closest && event.target.closest(".slider-controls :is(input, select, button)");
    if (!control) return;
    event.stopPropagation();
    if (!(event.key in LEAVE)) return;
    event.preventDefault();
    control.blur();
    if (LEAVE[event.key]) Reveal[LEAVE[event.key]]();
  }, true);

  // What the speaker's window copies has no fonts of MathJax: there the browser's own mathematics takes its place.
  const plainMathematics = () => document.querySelectorAll("aside.notes mjx-container").forEach((box) => {
    const math = box.querySelector("math");
    if (math) box.replaceWith(math);
  });

  // Words alone on a slide are as large as they fit.
  const enlarge = (body) => {
    let size = 33;
    const edge = (e, side) => e.getBoundingClientRect()[side]; // scrollHeight counts what MathJax hides for screen readers
    const tall = () => edge(body.lastElementChild, "bottom") - edge(body.firstElementChild, "top") > body.clientHeight;
    const tooLarge = () => tall() || [body, ...body.children].some((e) => e.scrollWidth > e.clientWidth + 1);
    do body.style.fontSize = `${--size}px`; while (size > 27 && tooLarge());
  };

  const start = async () => {
    await MathJax.startup.promise;
    plainMathematics();
    document.querySelectorAll(".prose").forEach(enlarge);
    document.querySelector(".reveal").classList.remove("laid-out");
    await Reveal.initialize({
      width: 1280, height: 720, margin: 0, center: false, hash: true, slideNumber: "c/t", transition: "none",
      controlsLayout: "edges", navigationMode: "linear", pdfMaxPagesPerSlide: 1, pdfSeparateFragments: false, plugins: [RevealNotes],
    });
    Reveal.on("slidechanged", () => document.activeElement.blur());
    document.documentElement.dataset.ready = "yes";
  };

  if (new URLSearchParams(location.search).get("cut") === "15") document.querySelectorAll(".slides > section:not([data-cut])").forEach((slide) => slide.remove());
  window.MathJax = { tex: { tags: "none" }, svg: { fontCache: "local" }, options: { enableMenu: false, ignoreHtmlClass: "code|printed|slider" }, startup: {} };
  document.addEventListener("DOMContentLoaded", start);
})();
