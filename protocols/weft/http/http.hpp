#pragma once
// The HTTP/1.1 server of Weft; each noun's own header can be included alone.
//
//     http::App app;
//     app.get("/hello/{name}", [](http::Request& request) {
//         return http::Response::text("Hello " + std::string(request.param("name")) + "\n");
//     });
//     int main() { return weft::run(app.run("127.0.0.1", 8080)); }

#include <weft/http/app.hpp>
#include <weft/http/errors.hpp>
#include <weft/http/headers.hpp>
#include <weft/http/request.hpp>
#include <weft/http/response.hpp>
#include <weft/http/response_stream.hpp>
#include <weft/http/router.hpp>
#include <weft/http/serve_options.hpp>
#include <weft/http/server.hpp>
#include <weft/http/sse.hpp>
#include <weft/http/status.hpp>
#include <weft/http/url.hpp>
