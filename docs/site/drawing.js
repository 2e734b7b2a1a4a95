// What twins of explorables draw with: each lesson whose explorable has one keeps it in its room, as twin.js. A twin takes
// the settings by name and the constants that Python exported, and returns the readout and how to draw.
window.odelabTwins = {};
window.odelabDrawing = (() => {
  const COLOR = { blue: "#0072B2", vermillion: "#D55E00", green: "#009E73", black: "#000000", grey: "#767676", light: "#E5E5E5" };
  const FONT = "px 'DejaVu Sans', sans-serif";
  const range = (from, to, count) => Array.from({ length: count }, (_, k) => from + ((to - from) * k) / (count - 1));

  // Numbers as Python's format writes them: fixed(2.345, 2), short(0.00012, 3) for .3g, power(0.00012, 1) for .1e,
  // percent(0.865) for .0%, signed(15) for +d.
  const fixed = (value, digits) => (Object.is(Number(value.toFixed(digits)), -0) ? (0).toFixed(digits) : value.toFixed(digits));
  const short = (value, digits) => {
    if (value === 0) return "0";
    const [digitsOf, exponent] = value.toExponential(digits - 1).split("e").map(Number);
    if (exponent < -4 || exponent >= digits) return `${digitsOf}e${exponent < 0 ? "-" : "+"}${String(Math.abs(exponent)).padStart(2, "0")}`;
    return String(Number(value.toPrecision(digits)));
  };
  const power = (value, digits) => value.toExponential(digits).replace(/e([+-])(\d)$/, "e$10$2");
  const percent = (share) => {
    const low = Math.floor(100 * share), rest = 100 * share - low;
    return `${low + (rest > 0.5 || (rest === 0.5 && low % 2) ? 1 : 0)}%`;
  };
  const signed = (value) => (value < 0 ? `${value}` : `+${value}`);

  // Axes in a box of the canvas: how data become pixels, with ticks, names and a title; log is true, or "y" for y alone.
  const axes = (pen, [left, top, width, height], { x, y, log = false, equal = false, title = "", xlabel = "", ylabel = "", xticks, yticks, grid = true }) => {
    if (equal) {
      const unit = Math.min(width / (x[1] - x[0]), height / (y[1] - y[0])), w = unit * (x[1] - x[0]), h = unit * (y[1] - y[0]);
      [left, top, width, height] = [left + (width - w) / 2, top + (height - h) / 2, w, h];
    }
    const across = log === true ? Math.log10 : (v) => v, up = log ? Math.log10 : (v) => v;
    const px = (v) => left + (width * (across(v) - across(x[0]))) / (across(x[1]) - across(x[0]));
    const py = (v) => top + height - (height * (up(v) - up(y[0]))) / (up(y[1]) - up(y[0]));
    pen.lineWidth = 1;
    pen.font = "15.3" + FONT;
    pen.fillStyle = COLOR.black;
    const mark = (v, wide) => (wide && (v >= 1000 || v < 0.01) ? v.toExponential(0).replace("e+", "e") : String(v));
    pen.textAlign = "center";
    pen.textBaseline = "top";
    for (const v of xticks) {
      if (grid) line(pen, [[px(v), top], [px(v), top + height]], COLOR.light, 1);
      pen.fillText(mark(v, log === true), px(v), top + height + 6);
    }
    pen.fillText(xlabel, left + width / 2, top + height + 26);
    pen.textAlign = "right";
    pen.textBaseline = "middle";
    for (const v of yticks) {
      if (grid) line(pen, [[left, py(v)], [left + width, py(v)]], COLOR.light, 1);
      pen.fillText(mark(v, log), left - 6, py(v));
    }
    if (ylabel) {
      pen.save();
      pen.translate(left - 44, top + height / 2);
      pen.rotate(-Math.PI / 2);
      pen.textAlign = "center";
      pen.fillText(ylabel, 0, 0);
      pen.restore();
    }
    pen.textAlign = "left";
    pen.textBaseline = "bottom";
    pen.font = "17" + FONT;
    pen.fillText(title, left, top - 6);
    line(pen, [[left, top], [left, top + height], [left + width, top + height]], COLOR.black, 1);
    const inside = (draw) => {
      pen.save();
      pen.beginPath();
      pen.rect(left, top, width, height);
      pen.clip();
      draw();
      pen.restore();
    };
    return { px, py, left, top, width, height, inside, at: (points) => points.map(([a, b]) => [px(a), py(b)]) };
  };

  const line = (pen, points, color, width, dash = []) => {
    pen.strokeStyle = color;
    pen.lineWidth = width;
    pen.setLineDash(dash);
    pen.beginPath();
    points.forEach(([a, b], k) => (k ? pen.lineTo(a, b) : pen.moveTo(a, b)));
    pen.stroke();
    pen.setLineDash([]);
  };

  const dot = (pen, [a, b], radius, color) => {
    pen.fillStyle = color;
    pen.beginPath();
    pen.arc(a, b, radius, 0, 2 * Math.PI);
    pen.fill();
  };

  // Entries [name, color, dash, width] of a legend, from the top left corner (a, b) downwards.
  const legend = (pen, a, b, entries) => {
    pen.font = "15.3" + FONT;
    pen.textAlign = "left";
    pen.textBaseline = "middle";
    entries.forEach(([name, color, dash, width], k) => {
      line(pen, [[a, b + 20 * k], [a + 26, b + 20 * k]], color, width, dash);
      pen.fillStyle = COLOR.black;
      pen.fillText(name, a + 32, b + 20 * k);
    });
  };

  return { COLOR, FONT, range, fixed, short, power, percent, signed, axes, line, dot, legend };
})();
