"""What the slides print of ODE²VAE and others, word for word ("Experiments and Results"): test errors."""

MOCAP1 = {
    "DTSBN-S": "80.21 ± 0.04",
    "NPODE": "45.74",
    "neural ODE": "87.23 ± 0.02",
    "ode2vae": "93.07 ± 0.72",
    "ode2vae-kl": "15.99 ± 4.16",
}
MOCAP2 = {
    "DTSBN-S": "34.86 ± 0.02",
    "NPODE": "22.96",
    "neural ODE": "22.49 ± 0.88",
    "ode2vae": "10.06 ± 1.4",
    "ode2vae-kl": "8.09 ± 1.95",
}
ROTATING_MNIST = {
    "GPPVAE-dis": "0.0309 ± 0.00002",
    "GPPVAE-joint": "0.0288 ± 0.00005",
    "ode2vae": "0.0194 ± 0.00006",
    "ode2vae-kl": "0.0188 ± 0.0003",
}
