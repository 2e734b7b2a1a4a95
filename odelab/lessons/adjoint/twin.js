// Lesson 03: the price of a nudge to a pendulum, predicted by the adjoint, and measured by solving again.
{
  const { COLOR, axes, line, dot, legend } = odelabDrawing;
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
}
