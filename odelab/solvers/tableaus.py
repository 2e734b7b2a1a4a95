"""Every Runge–Kutta method of the package, as data.

A method with s stages is a table of numbers (Butcher 1964): nodes c, a matrix a and weights b,

    k_i = f(t + c_i dt, y + dt Σ_j a_ij k_j),        y(t + dt) ≈ y + dt Σ_i b_i k_i.

Where a is strictly lower triangular, each stage follows from those before it, and the method is explicit. Where it is
not, a stage is the solution of an equation (`methods.implicit`), and stiff problems allow long steps.

`b_err` weighs the stages into an error estimate, b − b̂ with b̂ the weights of a second method on the same stages.
`mid` weighs them into y(t + dt/2), for dense output. Adding a method is adding a table.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np

Row = tuple[float, ...]
Weights = tuple[tuple[int, float], ...]


@dataclass(frozen=True)
class ButcherTableau:
    """A Runge–Kutta method; checks itself on construction.

    Attributes:
        name: key in `TABLEAUS` or `IMPLICIT_TABLEAUS`.
        order: order of the solution (global error O(dt^order)).
        c: nodes, length s.
        a: s rows. Row i has length i in an explicit method, i + 1 in a diagonally implicit one, else s.
        b: weights, length s.
        b_err: b − b̂, length s; None for methods without an error estimate.
        mid: weights of y(t + dt/2), length s; None where dense output is another polynomial than `stepping.quartic`.
        reference: where the numbers come from.
        error_order: the error estimate is O(dt^error_order); by default that is the order.
        damping: γ of the factor (I − γ dt ∂f/∂y)⁻¹ which an implicit method's estimate needs where it weighs f(t, y):
            that is unbounded in stiff components, and the estimate must not be.
        stages: s, the number of stages.
        explicit: whether each stage follows from those before it.
        blocks: of an implicit method, the stages to solve for together, in order.
        adaptive: whether it estimates its error.
        fsal: first same as last; the last stage is f(t + dt, y(t + dt)). An explicit method has it as the first stage
            of the next step, an implicit one is called stiffly accurate.

    Raises:
        ValueError: when a row of ``a`` does not sum to its node, ``b`` not to 1, ``b_err`` not to 0, ``mid`` not to ½,
            or ``a`` is none of the above.
    """

    name: str
    order: int
    c: Row
    a: tuple[Row, ...]
    b: Row
    b_err: Row | None = None
    mid: Row | None = None
    reference: str = ""
    error_order: int = 0
    damping: float = 0.0
    stages: int = field(init=False, repr=False, compare=False)
    explicit: bool = field(init=False, repr=False, compare=False)
    blocks: tuple[tuple[int, ...], ...] = field(init=False, repr=False, compare=False)
    adaptive: bool = field(init=False, repr=False, compare=False)
    fsal: bool = field(init=False, repr=False, compare=False)
    # The nonzero weights as (stage, weight): what a step really adds up.
    rows: tuple[Weights, ...] = field(init=False, repr=False, compare=False)
    solution: Weights = field(init=False, repr=False, compare=False)
    error: Weights = field(init=False, repr=False, compare=False)
    middle: Weights = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        s = len(self.c)
        object.__setattr__(self, "blocks", self._blocks(s))
        object.__setattr__(self, "explicit", not self.blocks)
        for i, (node, row) in enumerate(zip(self.c, self.a, strict=True)):
            self._require(abs(sum(row) - node) < 1e-12, f"row {i} of a sums to {sum(row)!r}, its node is {node!r}")
        for weights, total, name in ((self.b, 1.0, "b"), (self.b_err, 0.0, "b_err"), (self.mid, 0.5, "mid")):
            if weights is not None:
                self._require(len(weights) == s, f"{name} has {len(weights)} weights for {s} stages")
                self._require(abs(sum(weights) - total) < 1e-12, f"{name} sums to {sum(weights)!r}, not {total}")
        object.__setattr__(self, "stages", s)
        object.__setattr__(self, "adaptive", self.b_err is not None)
        last = (*self.a[-1], 0.0) if self.explicit else self.a[-1]
        object.__setattr__(self, "fsal", self.c[-1] == 1.0 and last == self.b)
        object.__setattr__(self, "error_order", self.error_order or self.order)
        object.__setattr__(self, "rows", tuple(_nonzero(row) for row in self.a))
        object.__setattr__(self, "solution", _nonzero(self.b))
        object.__setattr__(self, "error", _nonzero(self.b_err or ()))
        object.__setattr__(self, "middle", _nonzero(self.mid or ()))

    def __hash__(self) -> int:
        return hash(self.name)

    def _blocks(self, s: int) -> tuple[tuple[int, ...], ...]:
        lengths = [len(row) for row in self.a]
        if lengths == [*range(s)]:
            return ()
        implicit = tuple(i for i, row in enumerate(self.a) if any(row))
        self._require(implicit in (tuple(range(s)), tuple(range(1, s))), "only the first stage can be explicit here")
        if lengths == [*range(1, s + 1)]:
            diagonal = {self.a[i][i] for i in implicit}
            self._require(
                len(diagonal) == 1 and 0.0 not in diagonal, "a has different entries, or zeros, on its diagonal"
            )
            return tuple((i,) for i in implicit)
        self._require(lengths == [s] * s, "a is not triangular, and not square either")
        return (implicit,)

    def _require(self, condition: bool, what: str) -> None:
        if not condition:
            raise ValueError(f"tableau {self.name!r}: {what}")


def _nonzero(weights: Row) -> Weights:
    return tuple((i, w) for i, w in enumerate(weights) if w != 0)


def _floats(text: str) -> Row:
    """'1/2 0 3/4' -> (0.5, 0.0, 0.75): tables read as they are printed."""
    return tuple(float(Fraction(number)) for number in text.split())


def _minus(b: Row, b_hat: Row) -> Row:
    return tuple(x - y for x, y in zip(b, b_hat, strict=True))


def _table(
    name: str, order: int, rows: list[str], b: str, *, b_hat: str = "", mid: str = "", reference: str
) -> ButcherTableau:
    """A tableau from its printed rows 'c | a_1 a_2 …'."""
    nodes, entries = zip(*(row.split("|") for row in rows), strict=True)
    weights = _floats(b)
    return ButcherTableau(
        name=name,
        order=order,
        c=_floats(" ".join(nodes)),
        a=tuple(_floats(row) for row in entries),
        b=weights,
        b_err=_minus(weights, _floats(b_hat)) if b_hat else None,
        mid=_floats(mid) if mid else None,
        reference=reference,
    )


_FIXED = [
    _table("euler", 1, ["0 |"], "1", reference="Euler 1768"),
    _table("midpoint", 2, ["0 |", "1/2 | 1/2"], "0 1", reference="Runge 1895"),
    _table("heun2", 2, ["0 |", "1 | 1"], "1/2 1/2", reference="Heun 1900"),
    _table("heun3", 3, ["0 |", "1/3 | 1/3", "2/3 | 0 2/3"], "1/4 0 3/4", reference="Heun 1900"),
    _table(
        "rk4",
        4,
        ["0 |", "1/3 | 1/3", "2/3 | -1/3 1", "1 | 1 -1 1"],
        "1/8 3/8 3/8 1/8",
        reference="Kutta 1901, the 3/8 rule (what torchdiffeq calls rk4)",
    ),
    _table(
        "rk4_classic",
        4,
        ["0 |", "1/2 | 1/2", "1/2 | 0 1/2", "1 | 0 0 1"],
        "1/6 1/3 1/3 1/6",
        reference="Kutta 1901",
    ),
]

_ADAPTIVE = [
    _table(
        "adaptive_heun",
        2,
        ["0 |", "1 | 1"],
        "1/2 1/2",
        b_hat="1 0",
        reference="Heun 1900 with Euler's method as error estimate",
    ),
    _table(
        "fehlberg2",
        2,
        ["0 |", "1/2 | 1/2", "1 | 1/256 255/256"],
        "1/512 255/256 1/512",
        b_hat="1/256 255/256 0",
        reference="Fehlberg 1969, RK2(1)",
    ),
    _table(
        "bosh3",
        3,
        ["0 |", "1/2 | 1/2", "3/4 | 0 3/4", "1 | 2/9 1/3 4/9"],
        "2/9 1/3 4/9 0",
        b_hat="7/24 1/4 1/3 1/8",
        reference="Bogacki & Shampine 1989",
    ),
    _table(
        "dopri5",
        5,
        [
            "0 |",
            "1/5 | 1/5",
            "3/10 | 3/40 9/40",
            "4/5 | 44/45 -56/15 32/9",
            "8/9 | 19372/6561 -25360/2187 64448/6561 -212/729",
            "1 | 9017/3168 -355/33 46732/5247 49/176 -5103/18656",
            "1 | 35/384 0 500/1113 125/192 -2187/6784 11/84",
        ],
        "35/384 0 500/1113 125/192 -2187/6784 11/84 0",
        b_hat="1951/21600 0 22642/50085 451/720 -12231/42400 649/6300 1/60",
        mid="6025192743/60171106304 0 51252292925/130801643196 -2691868925/90256659456 187940372067/3189068634112 "
        "-1776094331/39487288512 11237099/470086768",
        reference="Dormand & Prince 1980 with Shampine's 1986 midpoint; b_hat as in torchdiffeq, so that both accept "
        "the same steps",
    ),
    ButcherTableau(
        name="tsit5",
        order=5,
        c=(0.0, 0.161, 0.327, 0.9, 0.9800255409045097, 1.0, 1.0),
        a=(
            (),
            (0.161,),
            (-0.008480655492356989, 0.335480655492357),
            (2.8971530571054935, -6.359448489975075, 4.3622954328695815),
            (5.325864828439257, -11.748883564062828, 7.4955393428898365, -0.09249506636175525),
            (5.86145544294642, -12.92096931784711, 8.159367898576159, -0.071584973281401, -0.028269050394068383),
            (0.09646076681806523, 0.01, 0.4798896504144996, 1.379008574103742, -3.290069515436081, 2.324710524099774),
        ),
        b=(
            *(0.09646076681806523, 0.01, 0.4798896504144996, 1.379008574103742),
            *(-3.290069515436081, 2.324710524099774, 0.0),
        ),
        b_err=(
            *(-0.00178001105222577714, -0.0008164344596567469, 0.007880878010261995, -0.1447110071732629),
            *(0.5823571654525552, -0.45808210592918697, 0.015151515151515152),
        ),
        mid=(
            *(0.10741235230096871, 0.01135625, 0.39560903056045305, -0.34475214352593553),
            *(1.3161853649581645, -1.0170608542936508, 0.03125),
        ),
        reference="Tsitouras 2011 (mid: its free interpolant at 1/2)",
    ),
    _table(
        "dopri8",
        8,
        [
            "0 |",
            "1/18 | 1/18",
            "1/12 | 1/48 1/16",
            "1/8 | 1/32 0 3/32",
            "5/16 | 5/16 0 -75/64 75/64",
            "3/8 | 3/80 0 0 3/16 3/20",
            "59/400 | 29443841/614563906 0 0 77736538/692538347 -28693883/1125000000 23124283/1800000000",
            "93/200 | 16016141/946692911 0 0 61564180/158732637 22789713/633445777 545815736/2771057229 "
            "-180193667/1043307555",
            "5490023248/9719169821 | 39632708/573591083 0 0 -433636366/683701615 -421739975/2616292301 "
            "100302831/723423059 790204164/839813087 800635310/3783071287",
            "13/20 | 246121993/1340847787 0 0 -37695042795/15268766246 -309121744/1061227803 -12992083/490766935 "
            "6005943493/2108947869 393006217/1396673457 123872331/1001029789",
            "1201146811/1299019798 | -1028468189/846180014 0 0 8478235783/508512852 1311729495/1432422823 "
            "-10304129995/1701304382 -48777925059/3047939560 15336726248/1032824649 -45442868181/3398467696 "
            "3065993473/597172653",
            "1 | 185892177/718116043 0 0 -3185094517/667107341 -477755414/1098053517 -703635378/230739211 "
            "5731566787/1027545527 5232866602/850066563 -4093664535/808688257 3962137247/1805957418 "
            "65686358/487910083",
            "1 | 403863854/491063109 0 0 -5068492393/434740067 -411421997/543043805 652783627/914296604 "
            "11173962825/925320556 -13158990841/6184727034 3936647629/1978049680 -160528059/685178525 "
            "248638103/1413531060 0",
            "1 | 14005451/335480064 0 0 0 0 -59238493/1068277825 181606767/758867731 561292985/797845732 "
            "-1041891430/1371343529 760417239/1151165299 118820643/751138087 -528747749/2220607170 1/4",
        ],
        "14005451/335480064 0 0 0 0 -59238493/1068277825 181606767/758867731 561292985/797845732 "
        "-1041891430/1371343529 760417239/1151165299 118820643/751138087 -528747749/2220607170 1/4 0",
        b_hat="13451932/455176623 0 0 0 0 -808719846/976000145 1757004468/5645159321 656045339/265891186 "
        "-3867574721/1518517206 465885868/322736535 53011238/667516719 2/45 0 0",
        mid="0.04103130360739393 0 0 0 0 0.05100562801991382 0.2388930677412202 0.3096870143996103 -0.2172325471755352 "
        "0.07833405679331928 -0.0018614369715579948 0.007072844202678841 0.00690847373200576 -0.013838404349047373",
        reference="Prince & Dormand 1981, RK8(7)13M, with a fifth-order midpoint",
    ),
]
TABLEAUS: dict[str, ButcherTableau] = {tableau.name: tableau for tableau in _FIXED + _ADAPTIVE}


def _implicit(name: str, order: int, a: tuple[Row, ...], reference: str, **more: Any) -> ButcherTableau:
    """A tableau whose nodes are the sums of its rows; stiffly accurate unless b says otherwise."""
    c = tuple(1.0 if abs(math.fsum(row) - 1) < 1e-12 else math.fsum(row) for row in a)
    b = more.pop("b", a[-1])
    b_hat = more.pop("b_hat", None)
    b_err = None if b_hat is None else _minus(b, b_hat)
    return ButcherTableau(name=name, order=order, c=c, a=a, b=b, b_err=b_err, reference=reference, **more)


def _weights(nodes: Row, *moments: float) -> Row:
    """The weights w with Σ w_i nodes_i^k = moments_k."""
    return tuple(np.linalg.solve(np.array(nodes) ** np.arange(len(nodes))[:, None], np.array(moments)).tolist())


def _gauss() -> Iterator[ButcherTableau]:
    """Of the highest order for their stages, 2 s; they conserve quadratic invariants, and damp nothing."""
    reference = "Kuntzmann 1961, Butcher 1964; Gauss–Legendre quadrature"
    yield _implicit("implicit_midpoint", 2, ((0.5,),), reference, b=(1.0,))
    r = math.sqrt(3) / 6
    yield _implicit("gl4", 4, ((1 / 4, 1 / 4 - r), (1 / 4 + r, 1 / 4)), reference, b=(0.5, 0.5))
    r = math.sqrt(15)
    a = (
        (5 / 36, 2 / 9 - r / 15, 5 / 36 - r / 30),
        (5 / 36 + r / 24, 2 / 9, 5 / 36 - r / 24),
        (5 / 36 + r / 30, 2 / 9 + r / 15, 5 / 36),
    )
    yield _implicit("gl6", 6, a, reference, b=(5 / 18, 4 / 9, 5 / 18))


def _radau() -> Iterator[ButcherTableau]:
    """Radau IIA: stiffly accurate and L-stable, of order 2 s − 1 (Hairer & Wanner II, IV.5)."""
    yield _implicit("implicit_euler", 1, ((1.0,),), "Euler 1768, implicit")
    yield _implicit("radauIIA3", 3, ((5 / 12, -1 / 12), (3 / 4, 1 / 4)), "Ehle 1969, Radau IIA")
    r = math.sqrt(6)
    a = (
        (0.0, 0.0, 0.0, 0.0),  # f(t, y), for the error estimate alone
        (0.0, 11 / 45 - 7 * r / 360, 37 / 225 - 169 * r / 1800, -2 / 225 + r / 75),
        (0.0, 37 / 225 + 169 * r / 1800, 11 / 45 + 7 * r / 360, -2 / 225 - r / 75),
        (0.0, 4 / 9 - r / 36, 4 / 9 + r / 36, 1 / 9),
    )
    nodes = ((4 - r) / 10, (4 + r) / 10, 1.0)
    gamma = 1 / (3 + 3 ** (2 / 3) - 3 ** (1 / 3))  # 1 over the real eigenvalue of the inverse of a
    yield _implicit(
        "radauIIA5",
        5,
        a,
        "Ehle 1969; error estimate of Hairer & Wanner II, IV.8",
        b_hat=(gamma, *(w - gamma * x for w, x in zip(a[-1][1:], _weights(nodes, 1.0, 0.0, 0.0), strict=True))),
        error_order=4,
        damping=gamma,
    )


def _diagonal() -> Iterator[ButcherTableau]:
    """Diagonally implicit: one stage after another, each a system of the size of y alone."""
    yield _implicit("trapezoid", 2, ((0.0,), (0.5, 0.5)), "Crank & Nicolson 1947")
    g = 1 - math.sqrt(0.5)
    # b̂ is of order 2, and of order 3 where f is linear; the first stage serves the estimate alone.
    scale = ((1 - g) * g**2 + g / 2 - 1 / 6) / (g**2 - g / 2)
    yield _implicit(
        "sdirk2",
        2,
        ((0.0,), (0.0, g), (0.0, 1 - g, g)),
        "Alexander 1977",
        b_hat=(scale * (1 - g), 1 - g - scale, g + scale * g),
        error_order=3,
        damping=g,
    )
    w = math.sqrt(2) / 4
    yield _implicit(
        "trbdf2",
        2,
        ((0.0,), (g, g), (w, w, g)),
        "Bank et al. 1985; error estimate of Hosea & Shampine 1996",
        b_hat=((1 - w) / 3, (3 * w + 1) / 3, g / 3),
        error_order=3,
        damping=g,
    )
    g = 0.4358665215084590  # a root of g³ − 3 g² + 3 g / 2 = 1/6
    third = ((-4 * g**2 + 6 * g - 1) / (4 * g), (1 - 2 * g) / (4 * g), g)
    last = ((6 * g - 1) / (12 * g), -1 / ((24 * g - 12) * g), (-6 * g**2 + 6 * g - 1) / (6 * g - 3), g)
    yield _implicit("kvaerno3", 3, ((0.0,), (g, g), third, last), "Kværnø 2004, 3/2", b_hat=(*third, 0.0))
    g = 0.26
    sixth = (0.13855640231268224, 0.0, -0.04245337201752043, 0.02446657898003141, 0.61943039072480676, g)
    rows = (
        (0.0,),
        (g, g),
        (0.13, 0.84033320996790809, g),
        (0.22371961478320505, 0.47675532319799699, -0.06470895363112615, g),
        (0.16648564323248321, 0.10450018841591720, 0.03631482272098715, -0.13090704451073998, g),
        sixth,
        (
            *(0.13659751177640291, 0.0, -0.05496908796538376, -0.04118626728321046),
            *(0.62993304899016403, 0.06962479448202728, g),
        ),
    )
    yield _implicit("kvaerno5", 5, rows, "Kværnø 2004, 5/4", b_hat=(*sixth, 0.0))


IMPLICIT_TABLEAUS: dict[str, ButcherTableau] = {
    tableau.name: tableau for group in (_radau, _gauss, _diagonal) for tableau in group()
}
