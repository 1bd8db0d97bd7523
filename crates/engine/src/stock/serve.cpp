// ggml's own RPC server, unchanged, for one connection that is there already.
// Its half for servers is static, hence the inclusion; its loop around accept() is left out, and so nothing listens.

#include "ggml-rpc.cpp"
#include "ggml-cpu.h"

socket_ptr duet_carried(int fd);

extern "C" bool duet_stock_serve(int fd, int n_threads) {
    ggml_backend_t backend = ggml_backend_cpu_init();
    if (backend == nullptr) {
        return false;
    }
    ggml_backend_cpu_set_n_threads(backend, n_threads);
    rpc_serve_client({backend}, nullptr, duet_carried(fd));
    ggml_backend_free(backend);
    return true;
}

// A server elsewhere as a device, or null.
extern "C" ggml_backend_dev_t duet_stock_device(const char * endpoint) {
    ggml_backend_reg_t reg = ggml_backend_rpc_add_server(endpoint);
    return reg == nullptr ? nullptr : ggml_backend_reg_dev_get(reg, 0);
}
