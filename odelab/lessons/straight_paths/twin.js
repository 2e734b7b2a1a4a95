// Lesson 07: points on straight lines between two Gaussians, by maps that turn; cost of each map.
{
  const { COLOR, range, fixed, signed, axes, line, dot, legend } = odelabDrawing;
  odelabTwins.displacement = ({ angle, percent }, { angles, maps, costs, least, start, rings }) => {
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
}
