/* A single-spike layer as a program: it reads cases, and writes answers, as PROTOCOL.md beside the golden vectors says.
 *
 *     cc -O2 14_a_program.c -o port -lm
 *     minisnn check --program ./port --gradient both
 *
 * It computes in double whatever the precision of the case is. The machine must be little-endian.
 */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    uint32_t axes, shape[3];
    double *value;
} Array;

static void get(void *to, size_t bytes) {
    if (fread(to, 1, bytes, stdin) != bytes) exit(1);
}

static double *zeros(size_t n) {
    double *value = calloc(n ? n : 1, sizeof(double));
    if (value == NULL) exit(2);
    return value;
}

static size_t size(const Array *a) {
    size_t n = 1;
    for (uint32_t k = 0; k < a->axes; k++) n *= a->shape[k];
    return n;
}

/* Numbers as doubles, and the letters of a text as their codes. */
static Array read_array(void) {
    Array a;
    char name[32], type[4];
    get(name, 32), get(type, 4), get(&a.axes, 4);
    if (a.axes > 3) exit(3);
    get(a.shape, 4 * a.axes);
    a.value = zeros(size(&a));
    for (size_t k = 0; k < size(&a); k++) {
        float single;
        char letter;
        if (memcmp(type, "f8", 2) == 0) get(&a.value[k], 8);
        else if (memcmp(type, "f4", 2) == 0) get(&single, 4), a.value[k] = single;
        else get(&letter, 1), a.value[k] = letter;
    }
    return a;
}

static void write_head(uint32_t number, uint32_t arrays) {
    uint32_t head[] = {number, 0, arrays};
    fwrite("mSNN", 1, 4, stdout), fwrite(head, 4, 3, stdout);
}

static void write_array(const char *name, const Array *like, const double *value) {
    char title[32] = "", type[4] = "f8";
    memcpy(title, name, strlen(name));
    fwrite(title, 1, 32, stdout), fwrite(type, 1, 4, stdout);
    fwrite(&like->axes, 4, 1, stdout), fwrite(like->shape, 4, like->axes, stdout);
    fwrite(value, sizeof(double), size(like), stdout);
}

int main(void) {
    char magic[4];
    while (fread(magic, 1, 4, stdin) == 4) {
        uint32_t number, kind, count;
        get(&number, 4), get(&kind, 4), get(&count, 4);
        Array in[8]; /* spikes, weight, bias, decay, threshold; surrogate_scale, gradient, grad_spikes */
        if (count > 8) return 4;
        for (uint32_t k = 0; k < count; k++) in[k] = read_array();
        const double *x = in[0].value, *w = in[1].value, *b = in[2].value, *beta = in[3].value;
        const double theta = in[4].value[0];
        const size_t B = in[0].shape[0], T = in[0].shape[1], I = in[0].shape[2], N = in[1].shape[1];
        double *v = zeros(B * T * N), *tau = zeros(B * N);
        double *gx = zeros(B * T * I), *gw = zeros(I * N), *gb = zeros(N), *gbeta = zeros(N);
        for (size_t s = 0; s < B; s++)
            for (size_t n = 0; n < N; n++) {
                double state = 0, inner = 0, outer = 0, next = 0;
                size_t first = T;
                for (size_t t = 0; t < T; t++) {
                    double current = b[n];
                    for (size_t i = 0; i < I; i++) current += x[(s * T + t) * I + i] * w[i * N + n];
                    v[(s * T + t) * N + n] = state = beta[n] * state + current;
                    if (state > theta && first == T) first = t;
                }
                tau[s * N + n] = (double)first;
                for (size_t t = T; kind == 2 && t-- > 0;) {
                    const size_t row = s * T + t;
                    const int gated = in[6].value[0] == 'g';
                    if (!gated || t < first) inner += in[7].value[row * N + n];
                    outer += inner;
                    const double far = 1 + in[5].value[0] * fabs(v[row * N + n] - theta);
                    next = outer / (far * far) + beta[n] * next;
                    gb[n] += next;
                    if (t > 0) gbeta[n] += next * v[(row - 1) * N + n];
                    for (size_t i = 0; i < I; i++) {
                        gw[i * N + n] += x[row * I + i] * next;
                        gx[row * I + i] += w[i * N + n] * next;
                    }
                }
            }
        Array times = {2, {(uint32_t)B, (uint32_t)N}, tau}, membrane = {3, {(uint32_t)B, (uint32_t)T, (uint32_t)N}, v};
        if (kind == 2) {
            write_head(number, 4);
            write_array("spikes", &in[0], gx), write_array("weight", &in[1], gw);
            write_array("bias", &in[2], gb), write_array("decay", &in[3], gbeta);
        } else {
            write_head(number, 2);
            write_array("spikes", &times, tau), write_array("membrane", &membrane, v);
        }
        fflush(stdout);
        for (uint32_t k = 0; k < count; k++) free(in[k].value);
        free(v), free(tau), free(gx), free(gw), free(gb), free(gbeta);
    }
    return 0;
}
