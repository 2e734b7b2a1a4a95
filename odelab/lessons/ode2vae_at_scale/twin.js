// Lesson 10: a training step's price, a sum over what is done, each part with a price per piece.
{
  const { COLOR, FONT, range, short, axes, line, dot, legend } = odelabDrawing;
  odelabTwins.stepCost = ({ frames, substeps, batch, draws }, { parts, seconds, memory, axis, limits, cards, sequences, epochs }) => {
    const counts = (n) => {
      const stages = 4 * substeps * (n - 1), rows = batch * draws;
      return [1, stages, stages * rows, n * rows, batch];
    };
    const price = (prices, n) => counts(n).map((count, k) => count * prices[k]);
    const total = (prices, n) => price(prices, n).reduce((sum, part) => sum + part, 0);
    const steps = epochs * Math.max(1, Math.floor(sequences / batch)), spent = total(seconds, frames), bytes = total(memory, frames);
    const text = `T = ${frames}, substeps ${substeps}, B = ${batch}, K = ${draws}: ${short(spent, 3)} s and ${short(bytes / 1e9, 3)} GB a step; ` +
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
}
