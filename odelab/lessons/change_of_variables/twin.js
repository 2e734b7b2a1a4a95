// Lesson 05: z + u tanh(wᵀz + b) on a square grid, and along w, lengths and angles of w and u in degrees; and a patch that
// a flow carries, its area against the density in it.
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

  const divergence = (x) => 2 * (1 - Math.tanh(2 * x) ** 2) - 0.7;
  const slope = (t, x, y) => [Math.tanh(2 * x) + y / 2, Math.sin(x + t) - 0.7 * y, divergence(x)];

  // RK4 along the flow, from one time to another: [x, y, the integral of the divergence on the way].
  const carry = ([x, y, sum = 0], from, to, perUnit = 32) => {
    const steps = Math.max(1, Math.ceil(Math.abs(to - from) * perUnit - 1e-9)), h = (to - from) / steps;
    for (let step = 0, t = from; step < steps; step++, t += h) {
      const a = slope(t, x, y), b = slope(t + h / 2, x + (h / 2) * a[0], y + (h / 2) * a[1]);
      const c = slope(t + h / 2, x + (h / 2) * b[0], y + (h / 2) * b[1]), d = slope(t + h, x + h * c[0], y + h * c[1]);
      x += (h / 6) * (a[0] + 2 * (b[0] + c[0]) + d[0]);
      y += (h / 6) * (a[1] + 2 * (b[1] + c[1]) + d[1]);
      sum += (h / 6) * (a[2] + 2 * (b[2] + c[2]) + d[2]);
    }
    return [x, y, sum];
  };

  // The density at time t, from a standard normal at 0, as a picture of so many pixels each way; drawn once.
  const pictures = new Map();
  const density = (t, side, top, ink) => {
    if (pictures.has(t)) return pictures.get(t);
    const canvas = Object.assign(document.createElement("canvas"), { width: side, height: side }), pen = canvas.getContext("2d");
    const image = pen.createImageData(side, side), center = (k) => -4 + (8 * (k + 0.5)) / side;
    for (let row = 0; row < side; row++) {
      for (let column = 0; column < side; column++) {
        const [x, y, back] = carry([center(column), center(side - 1 - row)], t, 0, 12);
        const p = Math.exp(back - (x * x + y * y) / 2) / (2 * Math.PI);
        image.data.set([...ink[Math.min(255, Math.floor((256 * p) / top))], 255], 4 * (side * row + column));
      }
    }
    pen.putImageData(image, 0, 0);
    pictures.set(t, canvas);
    return canvas;
  };

  odelabTwins.patch = ({ frame, place, size }, { step, level, sizes, side, ink, top }) => {
    const half = sizes[size] / 2, edge = range(-half, half, 21).slice(0, -1);
    const square = [[1, 0], [0, 1], [-1, 0], [0, -1]].flatMap(([c, s]) => edge.map((a) => [place + c * a + s * half, level + s * a - c * half]));
    const edges = [square], path = [[place, level, 0]];
    for (let k = 0; k < frame; k++) {
      edges.push(edges[k].map((corner) => carry(corner, k * step, (k + 1) * step)));
      path.push(carry(path[k], k * step, (k + 1) * step));
    }
    const area = (corners) => Math.abs(corners.reduce((sum, [x, y], k) => sum + x * corners.at(k - 1)[1] - corners.at(k - 1)[0] * y, 0)) / 2;
    const growth = edges.map((corners, k) => {
      const grown = area(corners) / area(square), height = Math.exp(-path[k][2]);
      return [grown, height, grown * height];
    });
    const [grown, height] = growth[frame];
    const text =
      `t = ${fixed(frame * step, 1)}: the patch has ${fixed(grown, 2)} times its area, the density at its middle is ` +
      `${fixed(height, 2)} times what it was; the product is ${fixed(grown * height, 2)}`;
    const draw = (pen, width, high) => {
      const ticks = [-4, -2, 0, 2, 4], marks = [0.1, 0.2, 0.5, 1, 2, 5, 10];
      const left = axes(pen, [40, 40, 0.46 * width - 50, high - 80], { x: [-4, 4], y: [-4, 4], equal: true, title: "density, and a patch that is carried along", xticks: ticks, yticks: ticks, grid: false });
      const right = axes(pen, [0.46 * width + 60, 40, 0.54 * width - 80, high - 100], { x: [-0.05, 15 * step + 0.05], y: [0.1, 10], log: "y", title: "as a multiple of the start", xlabel: "time t", xticks: [0, 0.5, 1, 1.5], yticks: marks });
      left.inside(() => {
        pen.imageSmoothingEnabled = true;
        pen.drawImage(density(frame * step, side, top, ink), left.left, left.top, left.width, left.height);
        line(pen, left.at(path.map(([x, y]) => [x, y])), "#5F5F5F", 2, [8, 4]);
        [[square, COLOR.black, 1.5], [edges[frame], COLOR.vermillion, 4]].forEach(([corners, color, wide]) => line(pen, left.at([...corners, corners[0]].map(([x, y]) => [x, y])), color, wide));
      });
      const names = [["area of the patch", COLOR.vermillion, [8, 4], 2.6], ["density at its middle", COLOR.blue, [], 2.6], ["product of the two", COLOR.green, [9, 4, 2, 4], 2.6]];
      names.forEach(([, color, dash, wide], i) => {
        const points = right.at(growth.map((values, k) => [k * step, values[i]]));
        line(pen, points, color, wide, dash);
        points.forEach((point) => dot(pen, point, 3.6, color));
      });
      legend(pen, right.left + 10, right.top + right.height - 60, names);
    };
    return { text, draw };
  };
}
