#pragma once
// What the tests of TLS share.

#include "support/harness.hpp"
#include "tls/certificates.hpp"

#include <weft/io/tls.hpp>

#include <string>

namespace weft::testing {

inline TlsContext server_tls(const std::string& name = "server") {
    const Certificates& files = Certificates::instance();
    return TlsContext::server(files.chain(name), files.key(name));
}
/// Trusts the tests' authority.
inline TlsContext client_tls() {
    return TlsContext::client().load_verify_locations(Certificates::instance().chain("ca"));
}

inline Coro<> tls_echo(StreamReader reader, StreamWriter writer) {
    while (true) {
        const Bytes data = co_await reader.read(65536);
        if (data.empty()) break;
        writer.write(data);
        co_await writer.drain();
    }
    writer.close();
}

inline Coro<> close_server(Server server) {
    server.close();
    co_await server.wait_closed();
}

/// Sends `text` and gives what comes back of it.
inline Coro<std::string> echo_of(StreamReader reader, StreamWriter writer, std::string text) {
    writer.write(text);
    co_await writer.drain();
    const Bytes answer = co_await reader.readexactly(text.size());
    co_return answer.str();
}

}  // namespace weft::testing
