// Lesson 03: the price of a nudge to a pendulum, predicted by the adjoint, and measured by solving again; a decaying
// state and the way back to its start.
{
  const { COLOR, range, short, power, axes, line, dot, legend } = odelabDrawing;
  const PURPLE = "#CC79A7", MARGIN = 150;
  const signed = (value, digits) => (value < 0 ? "" : "+") + value.toFixed(digits);
  const ahead = (z, h, slope) => [z[0] + h * slope[0], z[1] + h * slope[1]];
  const field = ([angle, velocity]) => [velocity, -4 * Math.sin(angle) - 0.3 * velocity];

  // A tenth of a second, in twenty steps of RK4.
  const swing = (z) => {
    const h = 0.005;
    for (let step = 0; step < 20; step++) {
      const k1 = field(z), k2 = field(ahead(z, h / 2, k1)), k3 = field(ahead(z, h / 2, k2)), k4 = field(ahead(z, h, k3));
      z = ahead(z, h / 6, k1.map((_, i) => k1[i] + 2 * k2[i] + 2 * k3[i] + k4[i]));
    }
    return z;
  };

  odelabTwins.nudge = ({ back, direction, size }, { path, adjoint, target, loss }) => {
    const last = path.length - 1, now = last - back, angle = direction * (Math.PI / 180), unit = [Math.cos(angle), Math.sin(angle)];
    const nudged = (k) => {
      const states = [ahead(path[k], size, unit)];
      for (let i = k; i < last; i++) states.push(swing(states.at(-1)));
      return states;
    };
    const away = ([a, b]) => Math.hypot(a - target[0], b - target[1]);
    const moments = Array.from({ length: back + 1 }, (_, k) => now + k);
    const measured = moments.map((k) => (away(nudged(k).at(-1)) ** 2 / 2 - loss) / size);
    const predicted = moments.map((k) => adjoint[k][0] * unit[0] + adjoint[k][1] * unit[1]);
    const pair = ([a, b]) => `(${signed(a, 2)}, ${signed(b, 2)})`;
    const text =
      `t = ${(now / 10).toFixed(1)}: nudge δz = ${pair([size * unit[0], size * unit[1]])}, adjoint a(t) = ${pair(adjoint[now])}. ` +
      `Predicted a(t)·δz = ${signed(size * predicted[0], 4)}, measured Δ𝓛 = ${signed(size * measured[0], 4)}.`;

    const draw = (pen, width, height) => {
      const plane = axes(pen, [62, 34, 0.38 * width, height - MARGIN], { x: [-1.6, 2.3], y: [-2.7, 2.4], equal: true, title: "nudge the state", xlabel: "angle", ylabel: "velocity", xticks: [-1, 0, 1, 2], yticks: [-2, -1, 0, 1, 2] });
      const price = axes(pen, [0.38 * width + 125, 34, 0.62 * width - 145, height - MARGIN], { x: [-0.05, 3.05], y: [-2.9, 2.9], title: "its price, per unit of its size", xlabel: "time t of the nudge (← back from the end)", xticks: [0, 1, 2, 3], yticks: [-2, -1, 0, 1, 2] });
      const states = nudged(now), here = path[now], a = adjoint[now], tip = ahead(here, 0.9 / Math.hypot(...a), a);
      const around = Array.from({ length: 121 }, (_, k) => ahead(target, away(path[last]), [Math.cos((k * Math.PI) / 60), Math.sin((k * Math.PI) / 60)]));
      const [start, end] = plane.at([path[0], path[last]]);
      plane.inside(() => {
        line(pen, plane.at(around), COLOR.grey, 1.3, [8, 4]);
        line(pen, plane.at(path), COLOR.black, 2.6);
        line(pen, plane.at(states), COLOR.vermillion, 2, [7, 4]);
        line(pen, plane.at([here, states[0]]), COLOR.vermillion, 6);
        line(pen, plane.at([here, ahead(here, 0.9, unit)]), COLOR.vermillion, 1.4);
        line(pen, plane.at([here, tip]), COLOR.green, 3.6);
        dot(pen, plane.at([tip])[0], 5, COLOR.green);
        dot(pen, plane.at([states.at(-1)])[0], 5, COLOR.vermillion);
        dot(pen, end, 5, COLOR.black);
        dot(pen, plane.at([target])[0], 6, PURPLE);
        pen.fillStyle = COLOR.black;
        pen.textAlign = "left";
        pen.font = `15.3${odelabDrawing.FONT}`;
        pen.fillText("start", start[0] + 8, start[1] - 6);
        pen.fillText("end", end[0] + 8, end[1] - 6);
      });
      line(pen, price.at([[-0.05, 0], [3.05, 0]]), COLOR.black, 0.8);
      line(pen, price.at([[now / 10, -2.9], [now / 10, 2.9]]), COLOR.black, 1.4, [2, 3]);
      price.inside(() => {
        line(pen, price.at(moments.map((k, i) => [k / 10, predicted[i]])), COLOR.blue, 2.6);
        pen.fillStyle = COLOR.vermillion;
        price.at(moments.map((k, i) => [k / 10, measured[i]])).forEach(([x, y]) => pen.fillRect(x - 4, y - 4, 8, 8));
      });
      const names = [
        [["path z(t)", COLOR.black, [], 2.6], ["same loss", COLOR.grey, [8, 4], 1.3], ["target", PURPLE, [], 8]],
        [["after the nudge", COLOR.vermillion, [7, 4], 2], ["the nudge δz", COLOR.vermillion, [], 6], ["direction of the nudge", COLOR.vermillion, [], 1.4]],
        [["direction of a(t)", COLOR.green, [], 3.6], ["predicted, a(t)·δz / |δz|", COLOR.blue, [], 2.6], ["measured, Δ𝓛 / |δz|", COLOR.vermillion, [8, 6], 8]],
      ];
      names.forEach((entries, k) => legend(pen, 60 + k * 0.32 * width, height - 54, entries));
    };
    return { text, draw };
  };

  odelabTwins.reconstruction = ({ rate, tolerance, stored }, { tolerances, forward, gaps, told }) => {
    const place = `${rate} ${tolerances.indexOf(tolerance)}`, off = gaps[`${place} ${stored}`], [start, worst] = told[`${place} ${stored}`];
    const there = forward[place], last = there.length - 1, length = last / (stored - 1);
    const text =
      `λ = ${rate}, tolerance ${power(tolerance, 0)}, ${stored} stored states: the way back reaches y(0) = ${short(start, 4)} ` +
      `instead of 1; largest gap ${power(worst, 1)}, and tolerance · exp(λ/${stored - 1}) = ${power(tolerance * Math.exp(rate / (stored - 1)), 1)}.`;
    const draw = (pen, width, height) => {
      const low = Math.floor(Math.log10(tolerance) - 1), high = Math.ceil(Math.log10(tolerance * Math.exp(rate)) + 0.5);
      const decades = range(low, high, high - low + 1).filter((k) => (k - low) % (high - low > 7 ? 2 : 1) === 0).map((k) => Number(`1e${k}`));
      const clock = { x: [-0.03, 1.03], xticks: [0, 0.2, 0.4, 0.6, 0.8, 1] }, wide = 0.5 * width - 85;
      const path = axes(pen, [50, 34, wide, height - 135], { ...clock, y: [-0.15, 1.6], title: "state", xlabel: "time t", yticks: [0, 0.5, 1, 1.5] });
      const gap = axes(pen, [0.5 * width + 60, 34, wide, height - 135], { ...clock, y: [Number(`1e${low}`), Number(`1e${high}`)], log: "y", title: "gap", xlabel: "time t (← the way back)", yticks: decades });
      path.inside(() => line(pen, path.at(there.map((y, k) => [k / last, y])), COLOR.black, 3.6));
      off.forEach((span, n) => {
        const times = span.map((_, i) => (n * length + i) / last), end = times.at(-1);
        path.inside(() => line(pen, path.at(span.map((g, i) => [times[i], there[n * length + i] + g])), COLOR.vermillion, 2.6, [9, 4]));
        gap.inside(() => {
          line(pen, gap.at(times.map((t) => [t, tolerance * Math.exp(rate * (end - t))])), COLOR.grey, 1.8, [8, 4]);
          line(pen, gap.at(span.map((g, i) => [times[i], Math.max(Math.abs(g), 1e-17)])), COLOR.vermillion, 2.6);
        });
      });
      range(0, last, stored).forEach((k) => {
        dot(pen, path.at([[k / last, there[Math.round(k)]]])[0], 6, COLOR.black);
        dot(pen, [gap.px(k / last), gap.top + gap.height], 6, COLOR.black);
      });
      const names = [
        [["forwards", COLOR.black, [], 3.6], ["on the way back", COLOR.vermillion, [9, 4], 2.6]],
        [["stored", "transparent", [], 1], ["|way back − forwards|", COLOR.vermillion, [], 2.6]],
        [["as (3.10) expects", COLOR.grey, [8, 4], 1.8]],
      ];
      names.forEach((entries, k) => legend(pen, 90 + k * 0.31 * width, height - 34, entries));
      dot(pen, [90 + 0.31 * width + 13, height - 34], 6, COLOR.black);
    };
    return { text, draw };
  };
}
