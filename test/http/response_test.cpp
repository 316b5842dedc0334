#include "support/harness.hpp"

#include <weft/http/errors.hpp>
#include <weft/http/response.hpp>
#include <weft/http/sse.hpp>

using namespace weft;
using namespace weft::http;

TEST_CASE("a line break in a header's value or name is refused and leaves the response as it was") {
    Response response = Response::text("hello");
    CHECK_THROWS_AS(response.header("X-Name", "a\r\nSet-Cookie: stolen"), InvalidHeaderError);
    CHECK_THROWS_AS(response.header("X-Name", "a\nb"), InvalidHeaderError);
    CHECK_THROWS_AS(response.header("X-Name", std::string_view("a\0b", 3)), InvalidHeaderError);
    CHECK_THROWS_AS(response.header("X-Name: a\r\nX-Other", "b"), InvalidHeaderError);
    CHECK_THROWS_AS(response.header("", "b"), InvalidHeaderError);
    CHECK_THROWS_AS(response.add_header("X Name", "b"), InvalidHeaderError);
    CHECK_THROWS_AS(Response::redirect("/a\r\nX: y"), InvalidHeaderError);
    CHECK(response.headers().text() == "Content-Type: text/plain; charset=utf-8\r\n");
}

TEST_CASE("the header fields that frame a response are the server's") {
    Response response;
    CHECK_THROWS_AS(response.header("content-length", "3"), InvalidHeaderError);
    CHECK_THROWS_AS(response.add_header("Transfer-Encoding", "chunked"), InvalidHeaderError);
}

TEST_CASE("setting a header replaces it whatever its case, adding keeps both") {
    Response response = Response::json("{}").header("content-type", "application/problem+json");
    response.add_header("Set-Cookie", "a=1").add_header("Set-Cookie", "b=2");
    CHECK(response.headers().text() ==
          "content-type: application/problem+json\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\n");
    CHECK(response.headers().get("SET-COOKIE") == "a=1");
    CHECK(response.headers().fields().size() == 3);
}

TEST_CASE("only final status codes are accepted") {
    CHECK_THROWS_AS(Response(100), ValueError);
    CHECK_THROWS_AS(Response(99999), ValueError);
    CHECK_THROWS_AS(Response().status(0), ValueError);
    CHECK(Response(204).status() == 204);
}

TEST_CASE("the data of a server-sent event may have several lines, its other parts may not") {
    CHECK(ServerSentEvent("a\nb\r\nc").event("news").id("7").text() ==
          "event: news\nid: 7\ndata: a\ndata: b\ndata: c\n\n");
    CHECK(ServerSentEvent("").text() == "data: \n\n");
    CHECK(ServerSentEvent::comment("still here") == ":still here\n\n");
    CHECK_THROWS_AS(ServerSentEvent("x").event("a\ndata: b"), ValueError);
}
