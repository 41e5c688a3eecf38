// DAQP's time for the quadratic programs that `visuomotor bench tick --programs` wrote, and whether it agrees.
//
// usage: programs FILE REPEATS
//
// FILE holds doubles: variables n, rows m, programs; then of each program the Hessian (n·n), gradient (n), lower and upper
// bounds (n each), rows (m·n), their upper bounds (m), their softness (m), and the answer to compare with (n).
// As in the controller, everything of a program is new (Hessian, rows, bounds, no active set), and nothing is allocated
// while the time is taken.
#include "api.h"
#include "utils.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static double thread_cpu_us(void) {
  struct timespec now;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return 1e6 * (double)now.tv_sec + 1e-3 * (double)now.tv_nsec;
}

static int ascending(const void* a, const void* b) {
  const double x = *(const double*)a, y = *(const double*)b;
  return (x > y) - (x < y);
}

int main(int argc, char** argv) {
  FILE* file = argc == 3 ? fopen(argv[1], "rb") : NULL;
  double head[3];
  if (file == NULL || fread(head, sizeof(double), 3, file) != 3) {
    fprintf(stderr, "usage: programs FILE REPEATS\n");
    return 2;
  }
  const int repeats = atoi(argv[2]);
  const int n = (int)head[0], rows = (int)head[1], programs = (int)head[2], m = n + rows;
  const size_t size = (size_t)(n * n + 4 * n + rows * n + 2 * rows);
  double* data = malloc(size * (size_t)programs * sizeof(double));
  double* lower = malloc((size_t)m * sizeof(double));
  double* upper = malloc((size_t)m * sizeof(double));
  double* soft = calloc((size_t)m, sizeof(double));
  double* x = malloc((size_t)n * sizeof(double));
  double* lam = malloc((size_t)m * sizeof(double));
  double* times_us = malloc((size_t)programs * sizeof(double));
  int* sense = calloc((size_t)m, sizeof(int));
  if (fread(data, sizeof(double), size * (size_t)programs, file) != size * (size_t)programs) return 2;

  DAQPProblem qp = {.n = n, .m = m, .ms = n, .bupper = upper, .blower = lower, .sense = sense};
  DAQPResult result = {.x = x, .lam = lam};
  DAQPWorkspace work = {0};
  int solved = 0;
  double worst = 0.0;
  for (int k = 0; k < programs; ++k) {
    double* at = data + size * (size_t)k;
    qp.H = at;
    qp.f = at + n * n;
    qp.A = at + n * n + 3 * n;
    for (int i = 0; i < n; ++i) {
      lower[i] = qp.f[n + i];
      upper[i] = qp.f[2 * n + i];
    }
    for (int i = 0; i < rows; ++i) {
      lower[n + i] = -DAQP_INF;
      upper[n + i] = qp.A[rows * n + i];
      soft[n + i] = qp.A[rows * n + rows + i];
    }
    if (k == 0) {
      for (int i = n; i < m; ++i) sense[i] = DAQP_SOFT;
      allocate_daqp_settings(&work);
      if (setup_daqp(&qp, &work, NULL) < 0) return 1;
    }
    daqp_set_soft_weights(&work, soft, soft, NULL, NULL);
    const double start_us = thread_cpu_us();
    for (int repeat = 0; repeat < repeats; ++repeat) {
      daqp_deactivate_constraints(&work);
      reset_daqp_workspace(&work);
      daqp_update_ldp(DAQP_UPDATE_Rinv | DAQP_UPDATE_M | DAQP_UPDATE_v | DAQP_UPDATE_d, &work, &qp);
      daqp_solve(&result, &work);
    }
    times_us[k] = (thread_cpu_us() - start_us) / repeats;
    if (result.exitflag <= 0) continue;
    ++solved;
    const double* expected = qp.A + rows * n + 2 * rows;
    for (int i = 0; i < n; ++i) worst = fmax(worst, fabs(x[i] - expected[i]) / (1.0 + fabs(expected[i])));
  }
  qsort(times_us, (size_t)programs, sizeof(double), ascending);
  printf("{\"p50_us\": %.4f, \"p99_us\": %.4f, \"solved\": %d, \"programs\": %d, \"worst_difference\": %.3g}\n",
         times_us[programs / 2], times_us[programs * 99 / 100], solved, programs, worst);
  return 0;
}
