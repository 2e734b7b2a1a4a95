// Lesson 05: z + u tanh(wᵀz + b) on a square grid, and along w. Lengths and angles of w and u, in degrees.
{
  const { COLOR, range, fixed, axes, line, dot, legend } = odelabDrawing;
  odelabTwins.planarLayer = ({ w, angle, u, turn, b, repair }) => {
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
}
