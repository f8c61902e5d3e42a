/* Runs a model that `tersor compile model.onnx --target c --out model.c` wrote:
 *
 *   cc -O3 -march=native -std=c99 main.c model.c -o model -lm
 *   ./model image.f32          one raw file per input (float32 or int32); without files: 0.5 or 1
 *   RUNS=100 ./model           prints the mean time of that many runs */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "model.h"

static int fill(model *m, int index, const char *path) {
  const tersor_value *const value = model_describe_input(index);
  void *const data = model_get_input(m, index);
  if (path == NULL) {
    for (size_t i = 0; i < value->count; i++)
      if (value->storage == 'f')
        ((float *)data)[i] = 0.5f;
      else
        ((int32_t *)data)[i] = 1;
    return 0;
  }
  FILE *const file = fopen(path, "rb");
  const size_t found = file == NULL ? 0 : fread(data, 4, value->count, file);
  if (file != NULL) fclose(file);
  if (found == value->count) return 0;
  fprintf(stderr, "%s: expected %zu values for \"%s\", found %zu\n", path, value->count, value->name, found);
  return 1;
}

int main(int count, char **words) {
  model m;
  if (model_init(&m, NULL, 0) != 0) return 1;
  for (int i = 0; i < MODEL_INPUT_COUNT; i++)
    if (fill(&m, i, i + 1 < count ? words[i + 1] : NULL) != 0) return 1;

  model_run(&m);
  for (int i = 0; i < MODEL_OUTPUT_COUNT; i++) {
    const tersor_value *const value = model_describe_output(i);
    const void *const data = model_get_output(&m, i);
    printf("%s: %s[", value->name, value->dtype);
    for (int axis = 0; axis < value->rank; axis++) printf(axis == 0 ? "%ld" : ",%ld", value->shape[axis]);
    printf("]\n");
    for (size_t k = 0; k < value->count && k < 10; k++)
      if (value->storage == 'f')
        printf("  %.6g\n", (double)((const float *)data)[k]);
      else
        printf("  %ld\n", (long)((const int32_t *)data)[k]);
  }

  const char *const asked = getenv("RUNS");
  const int runs = asked == NULL ? 0 : atoi(asked);
  if (runs > 0) {
    const clock_t start = clock();
    for (int i = 0; i < runs; i++) model_run(&m);
    printf("%.4f ms per run\n", 1e3 * (double)(clock() - start) / CLOCKS_PER_SEC / runs);
  }
  return 0;
}
