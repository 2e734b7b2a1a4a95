/* Gradients of planar flows, discrete and continuous, in loops that a compiler turns into vector instructions.
 *
 * Both flows move points z (2, n) by units z + u tanh(w.z + b) and minimise mean(U(z_end) - log det): density matching
 * where the points are base samples and U is a target's energy, maximum likelihood where they are data and U is the
 * base's. Checked in tests/flows/test_planar_kernels.py against autograd through odelab.flows.planar.
 */
#include <math.h>
#include <string.h>

enum { UNIT = 5, GATED = 6, BLOCK = 128, MAX_LAYERS = 64, MAX_UNITS = 64, MAX_STEPS = 32 };

static inline float squash(float a) { return 1.f - 2.f / (1.f + expf(2.f * fminf(fmaxf(a, -20.f), 20.f))); }
static inline float sigmoid(float a) { return 1.f / (1.f + expf(-fminf(fmaxf(a, -40.f), 40.f))); }
static inline float wall_slope(float a) { return copysignf(fmaxf(fabsf(a) - 4.f, 0.f), a) / 0.16f; }

/* g = dU/dz of U1, U2, U3 (odelab/datasets/energies.py) or, for kind 0, of |z|^2 / 2. */
static void energy_slope(int kind, int n, const float *x, const float *y, float *gx, float *gy)
{
    const float half_pi = 1.57079632679f;
    if (kind == 0)
        for (int i = 0; i < n; i++) { gx[i] = x[i]; gy[i] = y[i]; }
    else if (kind == 1)
        for (int i = 0; i < n; i++) {
            float r = sqrtf(x[i] * x[i] + y[i] * y[i]) + 1e-12f, pull = (r - 2.f) / (0.16f * r);
            float right = sigmoid(x[i] / 0.09f);
            gx[i] = pull * x[i] + (x[i] + 2.f - 4.f * right) / 0.36f;
            gy[i] = pull * y[i];
        }
    else if (kind == 2)
        for (int i = 0; i < n; i++) {
            gy[i] = (y[i] - sinf(half_pi * x[i])) / 0.16f;
            gx[i] = -gy[i] * half_pi * cosf(half_pi * x[i]) + wall_slope(x[i]);
        }
    else
        for (int i = 0; i < n; i++) {
            float off = x[i] - 1.f, bump = 3.f * expf(-off * off / 0.72f);
            float a = y[i] - sinf(half_pi * x[i]), b = a + bump;
            float first = sigmoid((b * b - a * a) / 0.245f), far = (1.f - first) * b / 0.1225f;
            gy[i] = first * a / 0.1225f + far;
            gx[i] = -gy[i] * half_pi * cosf(half_pi * x[i]) - far * bump * off / 0.36f + wall_slope(x[i]);
        }
}

/* grad (layers, 5) += d/dtheta of the sum over n <= BLOCK points; unit = w1 w2 u1 u2 b, made invertible as in `invertible`. */
static void flow_block(int kind, int layers, int n, const float *theta, const float *x, const float *y, float *grad)
{
    float X[MAX_LAYERS + 1][BLOCK], Y[MAX_LAYERS + 1][BLOCK], H[MAX_LAYERS][BLOCK], gx[BLOCK], gy[BLOCK];
    memcpy(X[0], x, n * sizeof(float));
    memcpy(Y[0], y, n * sizeof(float));
    float push[MAX_LAYERS], soft[MAX_LAYERS];
    for (int k = 0; k < layers; k++) {
        const float *p = theta + UNIT * k;
        float s = p[0] * p[2] + p[1] * p[3], norm = p[0] * p[0] + p[1] * p[1];
        soft[k] = fmaxf(s, 0.f) + log1pf(expf(-fabsf(s)));
        push[k] = (soft[k] - 1.f - s) / norm;
        float u1 = p[2] + push[k] * p[0], u2 = p[3] + push[k] * p[1];
        for (int i = 0; i < n; i++) {
            float h = squash(p[0] * X[k][i] + p[1] * Y[k][i] + p[4]);
            H[k][i] = h;
            X[k + 1][i] = X[k][i] + u1 * h;
            Y[k + 1][i] = Y[k][i] + u2 * h;
        }
    }
    energy_slope(kind, n, X[layers], Y[layers], gx, gy);
    for (int k = layers - 1; k >= 0; k--) {
        const float *p = theta + UNIT * k;
        float u1 = p[2] + push[k] * p[0], u2 = p[3] + push[k] * p[1], c = soft[k] - 1.f;
        float a1 = 0, a2 = 0, ab = 0, v1 = 0, v2 = 0, vc = 0;
        for (int i = 0; i < n; i++) {
            /* 1 + c slope, without the cancellation at c = -1 */
            float h = H[k][i], slope = 1.f - h * h, share = slope / (h * h + soft[k] * slope);
            float da = 2.f * c * h * share + slope * (gx[i] * u1 + gy[i] * u2);
            a1 += da * X[k][i]; a2 += da * Y[k][i]; ab += da;
            v1 += gx[i] * h; v2 += gy[i] * h; vc -= share;
            gx[i] += p[0] * da; gy[i] += p[1] * da;
        }
        /* u-hat = u + push w and c = softplus(s) - 1 back to w and u, with s = w.u and norm = |w|^2. */
        float s = p[0] * p[2] + p[1] * p[3], norm = p[0] * p[0] + p[1] * p[1], rise = sigmoid(s);
        float to_push = v1 * p[0] + v2 * p[1], to_s = to_push * (rise - 1.f) / norm + vc * rise;
        float to_norm = -2.f * to_push * push[k] / norm;
        float *g = grad + UNIT * k;
        g[0] += a1 + push[k] * v1 + to_s * p[2] + to_norm * p[0];
        g[1] += a2 + push[k] * v2 + to_s * p[3] + to_norm * p[1];
        g[2] += v1 + to_s * p[0];
        g[3] += v2 + to_s * p[1];
        g[4] += ab;
    }
}

/* grad (layers, 5) of the mean over n points z (2, n). */
void flow_grad(int kind, int layers, int n, const float *theta, const float *z, float *grad)
{
    memset(grad, 0, UNIT * layers * sizeof(float));
    for (int i = 0; i < n; i += BLOCK)
        flow_block(kind, layers, n - i < BLOCK ? n - i : BLOCK, theta, z + i, z + n + i, grad);
    for (int j = 0; j < UNIT * layers; j++) grad[j] /= n;
}

/* `steps` iterations of RMSprop with momentum, as torch.optim.RMSprop has it; z: (steps, 2, n). */
void flow_train(int kind, int layers, int n, int steps, float lr, float decay, float momentum,
                float *theta, float *square, float *velocity, const float *z)
{
    float grad[UNIT * MAX_LAYERS];
    for (int step = 0; step < steps; step++) {
        flow_grad(kind, layers, n, theta, z + 2L * n * step, grad);
        for (int j = 0; j < UNIT * layers; j++) {
            square[j] = decay * square[j] + (1.f - decay) * grad[j] * grad[j];
            velocity[j] = momentum * velocity[j] + grad[j] / (sqrtf(square[j]) + 1e-8f);
            theta[j] -= lr * velocity[j];
        }
    }
}

/* One evaluation of the gated units at n points: f and its divergence, tanh kept in H (units, BLOCK). */
static void field(int units, int n, const float *p, const float *x, const float *y,
                  float *fx, float *fy, float H[][BLOCK])
{
    for (int i = 0; i < n; i++) fx[i] = fy[i] = 0.f;
    for (int m = 0; m < units; m++, p += GATED)
        for (int i = 0; i < n; i++) {
            float h = squash(p[0] * x[i] + p[1] * y[i] + p[4]);
            H[m][i] = h;
            fx[i] += p[5] * p[2] * h;
            fy[i] += p[5] * p[3] * h;
        }
}

/* Adjoint of `field`: from dk = dL/df and the divergence's weight e, gz = dL/dz, and grad (units, 6) += dL/dunits. */
static void field_back(int units, int n, const float *p, const float *x, const float *y, float H[][BLOCK],
                       const float *dkx, const float *dky, float e, float *gx, float *gy, float *grad)
{
    for (int i = 0; i < n; i++) gx[i] = gy[i] = 0.f;
    for (int m = 0; m < units; m++, p += GATED, grad += GATED) {
        float gate = p[5], c = p[0] * p[2] + p[1] * p[3];
        float a1 = 0, a2 = 0, ab = 0, v1 = 0, v2 = 0, total = 0;
        for (int i = 0; i < n; i++) {
            float h = H[m][i], slope = 1.f - h * h;
            float da = gate * slope * (p[2] * dkx[i] + p[3] * dky[i] - 2.f * e * c * h);
            a1 += da * x[i]; a2 += da * y[i]; ab += da;
            v1 += dkx[i] * h; v2 += dky[i] * h; total += slope;
            gx[i] += p[0] * da; gy[i] += p[1] * da;
        }
        float to_c = e * gate * total;
        grad[0] += a1 + to_c * p[2];
        grad[1] += a2 + to_c * p[3];
        grad[2] += gate * v1 + to_c * p[0];
        grad[3] += gate * v2 + to_c * p[1];
        grad[4] += ab;
        grad[5] += p[2] * v1 + p[3] * v2 + e * c * total;
    }
}

static void cnf_block(int kind, int units, int steps, int n, const float *theta, const float *x0, const float *y0,
                      float *grad)
{
    static _Thread_local float H[4 * MAX_STEPS][MAX_UNITS][BLOCK], X[4 * MAX_STEPS][BLOCK], Y[4 * MAX_STEPS][BLOCK];
    const float share[4] = {1 / 6.f, 1 / 3.f, 1 / 3.f, 1 / 6.f}, reach[4] = {0.f, 0.5f, 0.5f, 1.f}, dt = 1.f / steps;
    const int offset[4] = {0, 1, 1, 2};
    float x[BLOCK], y[BLOCK], kx[BLOCK], ky[BLOCK], gx[BLOCK], gy[BLOCK], lx[BLOCK], ly[BLOCK], nx[BLOCK], ny[BLOCK];
    const long size = (long)GATED * units;
    memcpy(x, x0, n * sizeof(float));
    memcpy(y, y0, n * sizeof(float));
    for (int step = 0; step < steps; step++) {
        memcpy(nx, x, sizeof x);
        memcpy(ny, y, sizeof y);
        for (int j = 0; j < 4; j++) {
            int s = 4 * step + j;
            for (int i = 0; i < n; i++) {
                X[s][i] = x[i] + (j ? dt * reach[j] * kx[i] : 0.f);
                Y[s][i] = y[i] + (j ? dt * reach[j] * ky[i] : 0.f);
            }
            field(units, n, theta + size * (2 * step + offset[j]), X[s], Y[s], kx, ky, H[s]);
            for (int i = 0; i < n; i++) { nx[i] += dt * share[j] * kx[i]; ny[i] += dt * share[j] * ky[i]; }
        }
        memcpy(x, nx, sizeof x);
        memcpy(y, ny, sizeof y);
    }
    energy_slope(kind, n, x, y, lx, ly);
    for (int step = steps - 1; step >= 0; step--) {
        memcpy(nx, lx, sizeof x);
        memcpy(ny, ly, sizeof y);
        for (int j = 3; j >= 0; j--) {
            int s = 4 * step + j;
            float back = j < 3 ? dt * reach[j + 1] : 0.f;
            for (int i = 0; i < n; i++) {
                kx[i] = dt * share[j] * lx[i] + (j < 3 ? back * gx[i] : 0.f);
                ky[i] = dt * share[j] * ly[i] + (j < 3 ? back * gy[i] : 0.f);
            }
            long at = size * (2 * step + offset[j]);
            field_back(units, n, theta + at, X[s], Y[s], H[s], kx, ky, -dt * share[j], gx, gy, grad + at);
            for (int i = 0; i < n; i++) { nx[i] += gx[i]; ny[i] += gy[i]; }
        }
        memcpy(lx, nx, sizeof x);
        memcpy(ly, ny, sizeof y);
    }
}

/* grad (2 steps + 1, 6 units) of the mean over n points z (2, n) moved by `steps` steps of RK4 over [0, 1].
 * raw: a row for each of the times 0, 1/(2 steps), ..., 1, with all w, all u, all b and all gates before the sigmoid.
 * With `backwards` the points move from 1 to 0: along -f, with the rows in the opposite order. */
void cnf_grad(int kind, int units, int steps, int n, int backwards, const float *raw, const float *z, float *grad)
{
    static _Thread_local float theta[(2 * MAX_STEPS + 1) * MAX_UNITS * GATED], g[(2 * MAX_STEPS + 1) * MAX_UNITS * GATED];
    const int rows = 2 * steps + 1, size = GATED * units;
    const float sign = backwards ? -1.f : 1.f;
    for (int row = 0; row < rows; row++) {
        const float *r = raw + (backwards ? rows - 1 - row : row) * size;
        float *p = theta + row * size;
        for (int m = 0; m < units; m++, p += GATED) {
            p[0] = r[2 * m];
            p[1] = r[2 * m + 1];
            p[2] = sign * r[2 * units + 2 * m];
            p[3] = sign * r[2 * units + 2 * m + 1];
            p[4] = r[4 * units + m];
            p[5] = sigmoid(r[5 * units + m]);
        }
    }
    memset(g, 0, sizeof(float) * rows * size);
    for (int i = 0; i < n; i += BLOCK)
        cnf_block(kind, units, steps, n - i < BLOCK ? n - i : BLOCK, theta, z + i, z + n + i, g);
    for (int row = 0; row < rows; row++) {
        float *out = grad + (backwards ? rows - 1 - row : row) * size;
        const float *p = theta + row * size, *q = g + row * size;
        for (int m = 0; m < units; m++, p += GATED, q += GATED) {
            out[2 * m] = q[0] / n;
            out[2 * m + 1] = q[1] / n;
            out[2 * units + 2 * m] = sign * q[2] / n;
            out[2 * units + 2 * m + 1] = sign * q[3] / n;
            out[4 * units + m] = q[4] / n;
            out[5 * units + m] = q[5] * p[5] * (1.f - p[5]) / n;
        }
    }
}
