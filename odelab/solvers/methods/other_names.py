"""What other libraries call their methods, and what stands for them here.

A nearest spelling is a bad answer to a good name: it sends someone who asks for MATLAB's stiff solver, ode15s, to an
explicit one.
"""

from odelab.choices import suggestion

_STIFF = "for stiff problems take 'kvaerno5' or 'radauIIA5'"
_SCIPY = "method='scipy_solver' with options=dict(solver='{}') calls it"

# By lower-case name without separators: whose it is, and what to take.
ANSWERS: dict[str, str] = {
    # SciPy
    "rk45": "SciPy's RK45 is called 'dopri5' here; " + _SCIPY.format("RK45"),
    "rk23": "SciPy's RK23 is called 'bosh3' here; " + _SCIPY.format("RK23"),
    "dop853": "'dopri8' is also of order 8; SciPy's own: " + _SCIPY.format("DOP853"),
    "radau": "SciPy's Radau is called 'radauIIA5' here; " + _SCIPY.format("Radau"),
    "bdf": "BDF is SciPy's: " + _SCIPY.format("BDF") + ", without backprop; with it, " + _STIFF,
    "lsoda": "LSODA is SciPy's: " + _SCIPY.format("LSODA") + ", without backprop; with it, " + _STIFF,
    "odeint": "SciPy's odeint is LSODA: " + _SCIPY.format("LSODA"),
    "solveivp": "SciPy's default is called 'dopri5' here; method='scipy_solver' calls SciPy",
    "vode": "VODE is an older BDF: " + _SCIPY.format("BDF") + "; with gradients, " + _STIFF,
    "cvode": "SUNDIALS' CVODE is not here: " + _STIFF,
    "cvodebdf": "SUNDIALS' CVODE is not here: " + _STIFF,
    "ida": "SUNDIALS' IDA solves differential-algebraic equations; nothing here does",
    # MATLAB
    "ode45": "MATLAB's ode45 is called 'dopri5' here",
    "ode23": "MATLAB's ode23 is called 'bosh3' here",
    "ode78": "MATLAB's ode78 is a pair of order 8: take 'dopri8'",
    "ode89": "MATLAB's ode89 is a pair of order 9: take 'dopri8'",
    "ode113": "MATLAB's ode113 is an adaptive Adams method: take 'dopri8', or 'implicit_adams' on a fixed grid",
    "ode15s": "MATLAB's ode15s is for stiff problems: take 'kvaerno5' or 'radauIIA5'; " + _SCIPY.format("BDF"),
    "ode15i": "MATLAB's ode15i solves implicit equations; nothing here does",
    "ode23s": "MATLAB's ode23s is a Rosenbrock method: take 'rodas3'",
    "ode23t": "MATLAB's ode23t is the trapezoidal rule: 'trapezoid' on a fixed grid, or 'trbdf2', which is adaptive",
    "ode23tb": "MATLAB's ode23tb is called 'trbdf2' here",
    # diffrax and Julia; a name that differs in capitals alone is found below
    "dp5": "DP5 is called 'dopri5' here",
    "bs3": "BS3 is called 'bosh3' here",
    "vern7": "Verner's methods are not here: take 'dopri8'",
    "vern9": "Verner's methods are not here: take 'dopri8'",
    "kvaerno4": "take 'kvaerno5' or 'kvaerno3', the two of Kværnø's methods that are here",
    **{f"kencarp{i}": "its implicit part is like 'kvaerno3' and 'kvaerno5'" for i in (3, 4, 5, 47, 58)},
    "rosenbrock23": "take 'rodas3', the Rosenbrock method that is here",
    **{f"rodas{i}": "take 'rodas3', the Rosenbrock method that is here" for i in ("4", "42", "4p", "5", "5p", "p")},
    "ros3": "take 'rodas3', the Rosenbrock method that is here",
    "rosenbrock": "take 'rodas3', the Rosenbrock method that is here",
    **dict.fromkeys(("fbdf", "qndf", "stiff", "autotsit5", "ros2", "implicit", "abm"), _STIFF),
    "sdirk": "take 'sdirk2', or 'kvaerno3' and 'kvaerno5' of higher order",
    "sdirk4": "take 'kvaerno5'",
    "esdirk": "take 'kvaerno3' or 'kvaerno5'",
    "semiimpliciteuler": "for (position, velocity) take 'leapfrog', which is of order 2",
    "symplecticeuler": "for (position, velocity) take 'leapfrog', which is of order 2",
    "reversibleheun": "reversible methods are not here; gradient='checkpoint' saves memory and is exact",
    "leapfrogmidpoint": "reversible methods are not here; gradient='checkpoint' saves memory and is exact",
    "alf": "reversible methods are not here; gradient='checkpoint' saves memory and is exact",
    "ralston": "take 'heun2' or 'midpoint', which are of order 2 too",
    # plain words
    "forwardeuler": "it is called 'euler' here",
    "expliciteuler": "it is called 'euler' here",
    "backwardeuler": "it is called 'implicit_euler' here",
    "eulerbackward": "it is called 'implicit_euler' here",
    "heun": "'heun2' is Heun's method of order 2, 'heun3' that of order 3, 'adaptive_heun' chooses its steps",
    "rk1": "it is called 'euler' here",
    "rk2": "take 'midpoint' or 'heun2', both of order 2",
    "rk3": "take 'heun3', or 'bosh3', which chooses its steps",
    "rungekutta": "take 'dopri5', which chooses its steps, or 'rk4_classic' on a fixed grid",
    "rungekutta4": "take 'rk4_classic'; 'rk4' is Kutta's 3/8 rule, as in torchdiffeq",
    "rkf45": "Fehlberg's pair of order 5 is not here: take 'dopri5', which is better",
    "fehlberg": "'fehlberg2' is of order 2; of order 5 take 'dopri5'",
    "cashkarp": "take 'dopri5', also of order 5",
    "dormandprince": "it is called 'dopri5' here, of order 8 'dopri8'",
    "dopri": "'dopri5' is of order 5, 'dopri8' of order 8",
    "dopri853": "'dopri8' is also of order 8; SciPy's own: " + _SCIPY.format("DOP853"),
    "dopri54": "it is called 'dopri5' here",
    "tsitouras": "it is called 'tsit5' here",
    "bogackishampine": "it is called 'bosh3' here",
    "cranknicolson": "it is called 'trapezoid' here",
    "trapezoidal": "it is called 'trapezoid' here",
    "trapz": "it is called 'trapezoid' here",
    "gausslegendre": "'implicit_midpoint', 'gl4' and 'gl6' are of order 2, 4 and 6",
    "gausslegendre4": "it is called 'gl4' here",
    "gausslegendre6": "it is called 'gl6' here",
    "gauss": "'implicit_midpoint', 'gl4' and 'gl6' are of order 2, 4 and 6",
    "radau5": "it is called 'radauIIA5' here",
    "radau3": "it is called 'radauIIA3' here",
    "radauiia": "'radauIIA3' and 'radauIIA5' are here; the latter chooses its steps",
    "kvaerno": "'kvaerno3' and 'kvaerno5' are here",
    "adams": "'implicit_adams' and 'explicit_adams' are here, on fixed grids",
    "adamsbashforth": "it is called 'explicit_adams' here",
    "adamsbashforthmoulton": "it is called 'implicit_adams' here",
    "adamsmoulton": "it is called 'implicit_adams' here",
    "verlet": "it is called 'leapfrog' here",
    "velocityverlet": "it is called 'leapfrog' here",
    "stormerverlet": "it is called 'leapfrog' here",
    "yoshida": "it is called 'yoshida4' here",
    "symplectic": "'leapfrog' and 'yoshida4' are here",
    "bulirschstoer": "extrapolation is not here: take 'dopri8'",
}


def answer(name: str, known: list[str]) -> str:
    """What to say to someone who asked for a method of this name: text "; …", or nothing where there is nothing to say.

    The same name in other capitals, another library's name, else the nearest spelling.
    """
    bare = _bare(name)
    for own in known:
        if _bare(own) == bare:
            return f"; it is called {own!r} here"
    if bare in ANSWERS:
        return f": {ANSWERS[bare]}"
    return suggestion(name, known)


def _bare(name: str) -> str:
    return "".join(letter for letter in str(name).lower() if letter.isalnum())
