// What is wrong with the slide that is shown: what sticks out, is cut off, or lies on something else, and small text.
([leastText, leastScale]) => {
  const page = Reveal.getCurrentSlide().querySelector(".page"), frame = page.getBoundingClientRect(), faults = new Set();
  const name = (e) => `${e.tagName.toLowerCase()} "${(e.textContent || e.alt || "").trim().slice(0, 40)}"`;
  const shown = [...page.querySelectorAll("*")].filter((e) => {
    const inside = e.closest("svg, mjx-assistive-mml, script, option");
    return (!inside || inside.tagName === "svg" && e === inside) && e.getBoundingClientRect().width > 0;
  });
  for (const e of shown) {
    const box = e.getBoundingClientRect(), style = getComputedStyle(e);
    if (box.left < frame.left - 1 || box.right > frame.right + 1 || box.top < frame.top - 1) faults.add(`sticks out: ${name(e)}`);
    if (box.bottom > frame.bottom - 36) faults.add(`reaches the foot of the slide: ${name(e)}`);
    if (e.clientWidth && style.display !== "inline" && e.scrollWidth > e.clientWidth + 2) faults.add(`wider than its box: ${name(e)}`);
    const words = [...e.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
    if (words && parseFloat(style.fontSize) < leastText) faults.add(`text of ${style.fontSize}: ${name(e)}`);
    if (e.matches("img, canvas")) {
      const whole = [Number(e.getAttribute("width")), Number(e.getAttribute("height"))].map((n) => (e.matches("canvas") ? n / Math.max(2, devicePixelRatio) : n));
      const scale = Math.min(box.width / whole[0], box.height / whole[1]);
      if (scale < leastScale) faults.add(`picture at ${scale.toFixed(2)} of its size`);
    }
  }
  const blocks = [page.querySelector("h2"), ...page.querySelectorAll(".body > *, .words > *")].map((e) => [e, e.getBoundingClientRect()]);
  for (const [one, a] of blocks) for (const [other, b] of blocks) {
    if (one === other || one.contains(other) || other.contains(one)) continue;
    if (a.top < b.top && a.bottom > b.top + 2 && a.left < b.right - 2 && b.left < a.right - 2) faults.add(`${name(one)} lies on ${name(other)}`);
  }
  return [...faults];
}
