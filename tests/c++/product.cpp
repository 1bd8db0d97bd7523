// Loads ggml's CPU variants from a folder, as any program with dynamic ggml does, and says which one was picked.
// With types behind the folder, it multiplies weights of each type and compares with a product in double precision.
//
// usage: product DIR [TYPE...]      prints: FILE, then a line for each product: TYPE COLUMNS ERROR SUM-OF-BITS

#include "ggml-alloc.h"
#include "ggml-backend.h"
#include "ggml.h"

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <dlfcn.h>
#include <vector>

static const int K = 512, ROWS = 37;

struct Dice {
    uint64_t state;
    // From -1 to 1.
    float roll() {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        return float((state * 0x2545f4914f6cdd1d) >> 40) / float(1 << 23) - 1.0f;
    }
};

static ggml_type type_of(const char * name) {
    for (int type = 0; type < GGML_TYPE_COUNT; type++) {
        const char * known = ggml_type_name(ggml_type(type));
        if (known && !strcmp(known, name)) {
            return ggml_type(type);
        }
    }
    return GGML_TYPE_COUNT;
}

static bool multiply(ggml_backend_t backend, ggml_type type, int columns) {
    Dice dice{0x00d0e700u + uint64_t(type)};
    std::vector<float> weights(K * ROWS), x(K * columns), got(ROWS * columns);
    for (float & value : weights) value = dice.roll();
    for (float & value : x) value = dice.roll();
    std::vector<uint8_t> packed(ggml_row_size(type, K) * ROWS);
    ggml_quantize_chunk(type, weights.data(), packed.data(), 0, ROWS, K, nullptr);
    // What the packed weights mean.
    if (type == GGML_TYPE_F32) {
        memcpy(weights.data(), packed.data(), packed.size());
    } else {
        ggml_get_type_traits(type)->to_float(packed.data(), weights.data(), K * ROWS);
    }

    ggml_context * context = ggml_init({ggml_tensor_overhead() * 8 + ggml_graph_overhead(), nullptr, true});
    ggml_tensor * a = ggml_new_tensor_2d(context, type, K, ROWS);
    ggml_tensor * b = ggml_new_tensor_2d(context, GGML_TYPE_F32, K, columns);
    ggml_tensor * c = ggml_mul_mat(context, a, b);
    ggml_cgraph * graph = ggml_new_graph(context);
    ggml_build_forward_expand(graph, c);
    ggml_backend_buffer_t buffer = ggml_backend_alloc_ctx_tensors(context, backend);
    ggml_backend_tensor_set(a, packed.data(), 0, packed.size());
    ggml_backend_tensor_set(b, x.data(), 0, x.size() * sizeof(float));
    bool done = ggml_backend_graph_compute(backend, graph) == GGML_STATUS_SUCCESS;
    ggml_backend_tensor_get(c, got.data(), 0, got.size() * sizeof(float));

    double wrong = 0, size = 0;
    uint32_t bits = 0;
    for (int column = 0; column < columns; column++) {
        for (int row = 0; row < ROWS; row++) {
            double want = 0;
            for (int i = 0; i < K; i++) {
                want += double(weights[row * K + i]) * double(x[column * K + i]);
            }
            float value = got[column * ROWS + row];
            wrong += (value - want) * (value - want);
            size += want * want;
            uint32_t word;
            memcpy(&word, &value, sizeof word);
            bits = bits * 31 + word;
        }
    }
    printf("%s %d %.9f %08x\n", ggml_type_name(type), columns, std::sqrt(wrong / size), bits);
    ggml_backend_buffer_free(buffer);
    ggml_free(context);
    return done;
}

int main(int argc, char ** argv) {
    if (argc < 2) {
        fprintf(stderr, "usage: product DIR [TYPE...]\n");
        return 2;
    }
    ggml_backend_load_all_from_path(argv[1]);
    ggml_backend_dev_t device = ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_CPU);
    if (!device) {
        puts("no CPU backend");
        return 1;
    }
    ggml_backend_reg_t registry = ggml_backend_dev_backend_reg(device);
    Dl_info info;
    if (!dladdr(ggml_backend_reg_get_proc_address(registry, "ggml_backend_set_n_threads"), &info)) {
        return 1;
    }
    puts(info.dli_fname);
    ggml_backend_t backend = ggml_backend_dev_init(device, nullptr);
    for (int idx = 2; idx < argc; idx++) {
        ggml_type type = type_of(argv[idx]);
        if (type == GGML_TYPE_COUNT) {
            fprintf(stderr, "ggml has no type %s\n", argv[idx]);
            return 1;
        }
        if (!multiply(backend, type, 1) || !multiply(backend, type, 9)) {
            return 1;
        }
    }
    ggml_backend_free(backend);
}
