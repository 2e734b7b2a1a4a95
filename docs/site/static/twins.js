// Twins of explorables whose positions are too many to be drawn beforehand: the model once more, and its picture.
// Each takes the settings by name and the constants that Python exported, and returns the readout and how to draw.
window.odelabTwins = (() => {
  const COLOR = { blue: "#0072B2", vermillion: "#D55E00", green: "#009E73", black: "#000000", grey: "#767676", light: "#E5E5E5" };
  const FONT = "px 'DejaVu Sans', sans-serif";
  const range = (from, to, count) => Array.from({ length: count }, (_, k) => from + ((to - from) * k) / (count - 1));

  // Numbers as Python's format writes them: fixed(2.345, 2), short(0.00012, 3) for .3g, signed(15) for +d.
  const fixed = (value, digits) => (Object.is(Number(value.toFixed(digits)), -0) ? (0).toFixed(digits) : value.toFixed(digits));
  const short = (value, digits) => {
    if (value === 0) return "0";
    const [digitsOf, power] = value.toExponential(digits - 1).split("e").map(Number);
    if (power < -4 || power >= digits) return `${digitsOf}e${power < 0 ? "-" : "+"}${String(Math.abs(power)).padStart(2, "0")}`;
    return String(Number(value.toPrecision(digits)));
  };
  const signed = (value) => (value < 0 ? `${value}` : `+${value}`);

  // Axes in a box of the canvas: how data become pixels, with ticks, names and a title.
  const axes = (pen, [left, top, width, height], { x, y, log = false, equal = false, title = "", xlabel = "", ylabel = "", xticks, yticks, grid = true }) => {
    if (equal) {
      const unit = Math.min(width / (x[1] - x[0]), height / (y[1] - y[0])), w = unit * (x[1] - x[0]), h = unit * (y[1] - y[0]);
      [left, top, width, height] = [left + (width - w) / 2, top + (height - h) / 2, w, h];
    }
    const turn = log ? Math.log10 : (v) => v;
    const px = (v) => left + (width * (turn(v) - turn(x[0]))) / (turn(x[1]) - turn(x[0]));
    const py = (v) => top + height - (height * (turn(v) - turn(y[0]))) / (turn(y[1]) - turn(y[0]));
    pen.lineWidth = 1;
    pen.font = "15.3" + FONT;
    pen.fillStyle = COLOR.black;
    const mark = (v) => (log && (v >= 1000 || v < 0.01) ? v.toExponential(0).replace("e+", "e") : String(v));
    pen.textAlign = "center";
    pen.textBaseline = "top";
    for (const v of xticks) {
      if (grid) line(pen, [[px(v), top], [px(v), top + height]], COLOR.light, 1);
      pen.fillText(mark(v), px(v), top + height + 6);
    }
    pen.fillText(xlabel, left + width / 2, top + height + 26);
    pen.textAlign = "right";
    pen.textBaseline = "middle";
    for (const v of yticks) {
      if (grid) line(pen, [[left, py(v)], [left + width, py(v)]], COLOR.light, 1);
      pen.fillText(mark(v), left - 6, py(v));
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

  // Lesson 05: z + u tanh(wᵀz + b) on a square grid, and along w. Lengths and angles of w and u, in degrees.
  const planarLayer = ({ w, angle, u, turn, b, repair }) => {
    const to = (angle * Math.PI) / 180, by = ((angle + turn) * Math.PI) / 180;
    const normal = [w * Math.cos(to), w * Math.sin(to)];
    let push = [u * Math.cos(by), u * Math.sin(by)], along = normal[0] * push[0] + normal[1] * push[1];
    if (repair) {
      const more = (Math.log1p(Math.exp(along)) - 1 - along) / (w * w);
      push = [push[0] + more * normal[0], push[1] + more * normal[1]];
      along = normal[0] * push[0] + normal[1] * push[1];
    }
    const verdict = along >= -1 ? "≥ −1: invertible" : "< −1: THE LAYER FOLDS, three points land on one";
    const text = `wᵀ${repair ? "û" : "u"} = ${fixed(along, 2)} ${verdict}; smallest determinant ${fixed(1 + Math.min(along, 0), 2)}`;
    const bend = ([x, y]) => {
      const h = Math.tanh(normal[0] * x + normal[1] * y + b);
      return { point: [x + push[0] * h, y + push[1] * h], det: 1 + (1 - h * h) * along };
    };
    const draw = (pen, width, height) => {
      const side = range(-3, 3, 21), fine = range(-3, 3, 61);
      const lines = side.flatMap((s) => [fine.map((t) => [s, t]), fine.map((t) => [t, s])]);
      const panel = width / 3, high = height - 100, ticks = [-4, -2, 0, 2, 4];
      const before = axes(pen, [50, 40, panel - 75, high], { x: [-3.6, 3.6], y: [-4, 3.2], equal: true, title: "before", xticks: [-2, 0, 2], yticks: [-4, -2, 0, 2], grid: false });
      const after = axes(pen, [panel + 45, 40, panel - 75, high], { x: [-5, 5], y: [-5, 5], equal: true, title: "after: z + u tanh(wᵀz + b)", xticks: ticks, yticks: ticks, grid: false });
      const one = axes(pen, [2 * panel + 75, 40, panel - 95, high], { x: [-4, 4], y: [-5, 5], title: "along w", xlabel: "wᵀz before", ylabel: "wᵀz after", xticks: ticks, yticks: ticks });
      for (const points of lines) {
        const bent = points.map(bend);
        before.inside(() => line(pen, before.at(points), COLOR.blue, 0.8));
        after.inside(() => line(pen, after.at(bent.map((p) => p.point)), COLOR.blue, 0.8));
        for (let k = 1; k < points.length; k++) {
          if (bent[k].det >= 0 || bent[k - 1].det >= 0) continue;
          before.inside(() => line(pen, before.at([points[k - 1], points[k]]), COLOR.vermillion, 1.9));
          after.inside(() => line(pen, after.at([bent[k - 1].point, bent[k].point]), COLOR.vermillion, 1.9));
        }
      }
      before.inside(() => {
        line(pen, before.at([[0, 0], normal]), COLOR.black, 3);
        dot(pen, before.at([normal])[0], 5, COLOR.black);
        line(pen, before.at([[0, 0], push]), COLOR.green, 3, [8, 4]);
        const [a, c] = before.at([push])[0];
        pen.fillStyle = COLOR.green;
        pen.fillRect(a - 5, c - 5, 10, 10);
      });
      legend(pen, 50, height - 16, [["det < 0", COLOR.vermillion, [], 2]]);
      legend(pen, 160, height - 16, [["w", COLOR.black, [], 3]]);
      legend(pen, 230, height - 16, [["u", COLOR.green, [8, 4], 3]]);
      one.inside(() => {
        line(pen, one.at([[-4, -4], [4, 4]]), COLOR.grey, 1.3, [8, 4]);
        const curve = range(-4, 4, 401).map((s) => ({ s, h: Math.tanh(s + b) }));
        line(pen, one.at(curve.map(({ s, h }) => [s, s + along * h])), COLOR.blue, 2.4);
        const down = curve.filter(({ h }) => 1 + (1 - h * h) * along < 0);
        if (down.length > 1) line(pen, one.at(down.map(({ s, h }) => [s, s + along * h])), COLOR.vermillion, 3.3);
      });
    };
    return { text, draw };
  };

  // Lesson 07: points on straight lines between two Gaussians, by maps that turn; cost of each map.
  const displacement = ({ angle, percent }, { angles, maps, costs, least, start, rings }) => {
    const t = percent / 100, k = angles.indexOf(angle), map = maps[k];
    const between = [[1 - t + t * map[0][0], t * map[0][1]], [t * map[1][0], 1 - t + t * map[1][1]]];
    const move = ([x, y]) => [between[0][0] * x + between[0][1] * y, between[1][0] * x + between[1][1] * y];
    const area = between[0][0] * between[1][1] - between[0][1] * between[1][0];
    const text = `turn ${signed(angle)}°: cost ${fixed(costs[k], 3)}, least possible ${fixed(least, 3)}; an area of 1 has become ${fixed(area, 3)} at t = ${fixed(t, 2)}.`;
    const draw = (pen, width, height) => {
      const title = `turn ${signed(angle)}°, t = ${fixed(t, 2)}`;
      const left = axes(pen, [60, 40, 0.5 * width - 90, height - 100], { x: [-5.2, 5.2], y: [-4.4, 4.4], equal: true, title, xticks: [-4, -2, 0, 2, 4], yticks: [-4, -2, 0, 2, 4] });
      const top = 1.08 * Math.max(...costs);
      const right = axes(pen, [0.5 * width + 60, 40, 0.5 * width - 90, height - 100], { x: [-198, 198], y: [0, top], title: "∫‖x − z(x)‖² p dx", xlabel: "the map's turn in degrees", xticks: [-180, -90, 0, 90, 180], yticks: range(0, 2 * Math.floor(top / 2), Math.floor(top / 2) + 1) });
      left.inside(() => {
        start.forEach((p) => line(pen, left.at([p, move(p)]), COLOR.grey, 0.8));
        line(pen, left.at(rings[0]), COLOR.blue, 1.8);
        line(pen, left.at(rings[1]), COLOR.vermillion, 1.8, [7, 4]);
        line(pen, left.at(rings[0].map(move)), COLOR.black, 2.2, [2, 3]);
        start.forEach((p) => dot(pen, left.at([move(p)])[0], 2.4, COLOR.black));
      });
      legend(pen, left.left + 6, left.top + left.height - 54, [["p, t = 0", COLOR.blue, [], 1.8], ["q, t = 1", COLOR.vermillion, [7, 4], 1.8], ["now", COLOR.black, [2, 3], 2.2]]);
      line(pen, right.at(angles.map((a, i) => [a, costs[i]])), COLOR.blue, 2);
      line(pen, right.at([[-198, least], [198, least]]), COLOR.grey, 1.3, [8, 4]);
      dot(pen, right.at([[angle, costs[k]]])[0], 6, COLOR.black);
      legend(pen, right.left + right.width / 2 - 80, right.top + 12, [["cost of the map", COLOR.blue, [], 2], ["least possible", COLOR.grey, [8, 4], 1.3]]);
    };
    return { text, draw };
  };

  // Lesson 10: a training step's price, a sum over what is done, each part with a price per piece.
  const stepCost = ({ frames, substeps, batch, draws }, { parts, seconds, memory, axis, limits, cards, sequences, epochs }) => {
    const counts = (n) => {
      const stages = 4 * substeps * (n - 1), rows = batch * draws;
      return [1, stages, stages * rows, n * rows, batch];
    };
    const price = (prices, n) => counts(n).map((count, k) => count * prices[k]);
    const total = (prices, n) => price(prices, n).reduce((sum, part) => sum + part, 0);
    const steps = epochs * Math.max(1, Math.floor(sequences / batch)), spent = total(seconds, frames), bytes = total(memory, frames);
    const text = `${frames} frames, ${substeps} substeps, ${batch} sequences, ${draws} draws: ${short(spent, 3)} s and ${short(bytes / 1e9, 3)} GB a step; ` +
      `${epochs} epochs of ${sequences} sequences: ${steps} steps, ${short((steps * spent) / 3600, 3)} hours.`;
    const draw = (pen, width, height) => {
      const decades = ([low, high]) => range(Math.ceil(Math.log10(low)), Math.floor(Math.log10(high)), Math.max(2, Math.floor(Math.log10(high)) - Math.ceil(Math.log10(low)) + 1)).map((p) => Number(`1e${Math.round(p)}`));
      const x = [axis[0] / 1.3, axis[axis.length - 1] * 1.3], wide = width * 0.24;
      [["seconds of a step", seconds, 1, COLOR.blue], ["gigabytes kept", memory, 1e9, COLOR.vermillion]].forEach(([title, prices, unit, color], k) => {
        const panel = axes(pen, [60 + k * width * 0.335, 40, wide, height - 100], { x, y: limits[k], log: true, title, xlabel: "frames T", xticks: [3, 10, 30, 100, 300], yticks: decades(limits[k]) });
        panel.inside(() => {
          if (k) Object.entries(cards).forEach(([name, size]) => {
            line(pen, panel.at([[x[0], size], [x[1], size]]), COLOR.grey, 1.2, [2, 3]);
            pen.font = "15.3" + FONT;
            pen.fillStyle = "#555555";
            pen.textAlign = "left";
            pen.textBaseline = "bottom";
            pen.fillText(name, panel.px(axis[0]), panel.py(size) - 2);
          });
          line(pen, panel.at(axis.map((n) => [n, total(prices, n) / unit])), color, 2);
          dot(pen, panel.at([[frames, total(prices, frames) / unit]])[0], 6, color);
        });
      });
      const bars = axes(pen, [0.76 * width, 40, 0.21 * width, height - 100], { x: [0, 100], y: [parts.length - 0.5, -0.5], xlabel: "share, %", xticks: [0, 50, 100], yticks: [] });
      const unit = bars.height / parts.length;
      parts.forEach((name, k) => {
        pen.font = "15.3" + FONT;
        pen.fillStyle = COLOR.black;
        pen.textAlign = "right";
        pen.textBaseline = "middle";
        pen.fillText(name, bars.left - 6, bars.py(k));
        [[seconds, COLOR.blue, -0.38], [memory, COLOR.vermillion, 0.02]].forEach(([prices, color, up]) => {
          const share = price(prices, frames)[k] / Math.max(total(prices, frames), 1e-12);
          pen.fillStyle = color;
          pen.fillRect(bars.left, bars.py(k) + up * unit, share * bars.width, 0.36 * unit);
        });
      });
      legend(pen, bars.left + bars.width - 110, bars.top + bars.height - 34, [["time", COLOR.blue, [], 8], ["memory", COLOR.vermillion, [], 8]]);
    };
    return { text, draw };
  };

  return { planarLayer, displacement, stepCost };
})();
