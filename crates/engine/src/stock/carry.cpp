// What carries the messages of ggml-rpc.cpp: a connection that was handed in, or one to an address.
// It takes the place of ggml's transport.cpp, which can listen and brings RDMA.

#include "transport.h"

#include <arpa/inet.h>
#include <cerrno>
#include <cstring>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

struct socket_t::impl {
    int fd;
};

socket_t::socket_t(std::unique_ptr<impl> p) : pimpl(std::move(p)) {}

socket_t::~socket_t() {
    close(pimpl->fd);
}

bool socket_t::send_data(const void * data, size_t size) {
    const char * at = static_cast<const char *>(data);
    while (size > 0) {
        const ssize_t n = send(pimpl->fd, at, size, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return false;
        }
        at += n;
        size -= static_cast<size_t>(n);
    }
    return true;
}

bool socket_t::recv_data(void * data, size_t size) {
    char * at = static_cast<char *>(data);
    while (size > 0) {
        const ssize_t n = recv(pimpl->fd, at, size, 0);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return false;
        }
        at += n;
        size -= static_cast<size_t>(n);
    }
    return true;
}

bool socket_t::flush() {
    return true;
}

// Nothing of ours accepts connections.
socket_ptr socket_t::accept() {
    return nullptr;
}

void socket_t::get_caps(uint8_t * caps) {
    memset(caps, 0, RPC_CONN_CAPS_SIZE);
}

void socket_t::update_caps(const uint8_t *) {}

// Nothing listens: only a member may make a socket_t, and this one takes the number of a connection as its port.
socket_ptr socket_t::create_server(const char *, int port) {
    return socket_ptr(new socket_t(std::make_unique<impl>(impl{port})));
}

socket_ptr socket_t::connect(const char * host, int port) {
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<uint16_t>(port));
    if (inet_pton(AF_INET, host, &address.sin_addr) != 1) {
        return nullptr;
    }
    const int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd < 0) {
        return nullptr;
    }
    auto connection = socket_ptr(new socket_t(std::make_unique<impl>(impl{fd})));
    const int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    if (::connect(fd, reinterpret_cast<sockaddr *>(&address), sizeof(address)) != 0) {
        return nullptr;
    }
    return connection;
}

bool rpc_transport_init() {
    return true;
}

void rpc_transport_shutdown() {}

socket_ptr duet_carried(int fd) {
    return socket_t::create_server("", fd);
}
