// Lesson 11: the box around a point, and those that follow it along the Euler steps of a small net.
{
  const { COLOR, range, short, percent, axes, line, dot, legend } = odelabDrawing;
  const SKY = "#4999C6", ORANGE = "#B98000";
  const affine = ({ weight, bias }, z) => weight.map((row, i) => row.reduce((sum, w, j) => sum + w * z[j], bias[i]));

  // The smallest box around W z + b for z in a box; and around tanh.
  const affineBox = (layer, [middle, radius]) => [
    affine(layer, middle),
    layer.weight.map((row) => row.reduce((sum, w, j) => sum + Math.abs(w) * radius[j], 0)),
  ];
  const tanhBox = ([middle, radius]) => {
    const low = middle.map((m, i) => Math.tanh(m - radius[i])), high = middle.map((m, i) => Math.tanh(m + radius[i]));
    return [low.map((l, i) => (l + high[i]) / 2), low.map((l, i) => (high[i] - l) / 2)];
  };

  odelabTwins.flowBoxes = ({ training, point, epsilon }, { nets, points, labels, inside, ends }) => {
    const net = nets[training], x = points[point], own = labels[point], other = 1 - own;
    const boxes = [[x, [epsilon, epsilon]]], paths = inside.map(([a, b]) => [[x[0] + epsilon * a, x[1] + epsilon * b]]);
    for (let k = 0; k < net.steps; k++) {
      const [middle, radius] = affineBox(net.out, tanhBox(affineBox(net.hidden, boxes[k])));
      boxes.push([boxes[k][0].map((m, i) => m + middle[i] / net.steps), boxes[k][1].map((r, i) => r + radius[i] / net.steps)]);
      paths.forEach((path) => {
        const slope = affine(net.out, affine(net.hidden, path[k]).map(Math.tanh));
        path.push(path[k].map((z, i) => z + slope[i] / net.steps));
      });
    }
    const last = boxes[net.steps], [middle, radius] = affineBox(net.head, last);
    const proved = middle[own] - radius[own] > middle[other] + radius[other];
    const right = paths.filter((path) => { const says = affine(net.head, path[net.steps]); return says[own] > says[other]; }).length / paths.length;
    const text =
      `ε = ${short(epsilon, 6)}: the last box is ${short(Math.max(...last[1]) / epsilon, 3)} times as large as the first. ` +
      `${percent(right)} of 200 points of the first box are answered rightly; ` +
      `${proved ? "proved: no point of the first box is answered wrongly" : "not proved"}.`;
    const draw = (pen, width, height) => {
      const low = [0, 1].map((i) => Math.max(-6, Math.min(ends[0][i], ...boxes.map(([m, r]) => m[i] - r[i]))) - 0.3);
      const high = [0, 1].map((i) => Math.min(6, Math.max(ends[1][i], ...boxes.map(([m, r]) => m[i] + r[i]))) + 0.3);
      const whole = (a, b) => range(-6, 6, 13).filter((v) => v >= a && v <= b && v % (b - a > 7 ? 2 : 1) === 0);
      const limits = { x: [low[0], high[0]], y: [low[1], high[1]], xticks: whole(low[0], high[0]), yticks: whole(low[1], high[1]) };
      const plane = axes(pen, [62, 34, 0.56 * width - 80, height - 165], { ...limits, equal: true, title: "boxes along the flow", xlabel: "z₁", ylabel: "z₂" });
      const size = axes(pen, [0.56 * width + 70, 34, 0.44 * width - 95, height - 165], { x: [0, 1], y: [5e-3, 20], log: "y", title: "largest radius", xlabel: "time", xticks: [0, 0.2, 0.4, 0.6, 0.8, 1], yticks: [0.01, 0.1, 1, 10] });
      const { weight: w, bias: b } = net.head, normal = [w[1][0] - w[0][0], w[1][1] - w[0][1]], square = normal[0] ** 2 + normal[1] ** 2;
      const foot = normal.map((n) => (-(b[1] - b[0]) * n) / square), far = (sign) => [foot[0] - (sign * 50 * normal[1]) / Math.sqrt(square), foot[1] + (sign * 50 * normal[0]) / Math.sqrt(square)];
      plane.inside(() => {
        plane.at(points).forEach(([a, c], k) => {
          if (labels[k]) { pen.fillStyle = ORANGE; pen.fillRect(a - 2.3, c - 2.3, 4.6, 4.6); }
          else dot(pen, [a, c], 2.3, SKY);
        });
        line(pen, plane.at([far(1), far(-1)]), COLOR.black, 2, [8, 4]);
        boxes.forEach(([[p, q], [r, s]], k) => line(pen, plane.at([[p - r, q - s], [p + r, q - s], [p + r, q + s], [p - r, q + s], [p - r, q - s]]), COLOR.vermillion, k < net.steps ? 2.6 : 5));
        paths.slice(0, 40).forEach((path) => line(pen, plane.at(path), COLOR.black, 0.9));
      });
      const spread = (k) => Math.max(...[0, 1].map((i) => (Math.max(...paths.map((path) => path[k][i])) - Math.min(...paths.map((path) => path[k][i]))) / 2));
      const curves = [["box", COLOR.vermillion, [8, 4], 2.6, boxes.map(([, r]) => Math.max(...r))], ["cloud of 200 points", COLOR.blue, [], 2.6, boxes.map((_, k) => spread(k))]];
      size.inside(() => curves.forEach(([, color, dash, wide, values]) => {
        const at = size.at(values.map((v, k) => [k / net.steps, v]));
        line(pen, at, color, wide, dash);
        at.forEach((p) => dot(pen, p, 4, color));
      }));
      legend(pen, 36, height - 62, [["moon 1, before the flow", "#0000", [], 1], ["moon 2, before the flow", "#0000", [], 1], ["where the head changes its answer", COLOR.black, [8, 4], 2]]);
      dot(pen, [49, height - 62], 3, SKY);
      pen.fillStyle = ORANGE;
      pen.fillRect(46, height - 45, 6, 6);
      legend(pen, 350, height - 62, [["boxes", COLOR.vermillion, [], 2.6], ["last box", COLOR.vermillion, [], 5], ["paths of points of the first box", COLOR.black, [], 0.9]]);
      legend(pen, 0.56 * width + 70, height - 62, curves);
    };
    return { text, draw };
  };
}
