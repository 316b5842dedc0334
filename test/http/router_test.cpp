#include "support/harness.hpp"

#include <weft/http/router.hpp>

using namespace weft;
using namespace weft::http;

namespace {

void add(Router& router, std::string method, std::string path) {
    router.add(std::move(method), path, [] { return Response(); });
}

/// "name=value ..." of the route found, or "404", or "405: methods".
std::string found(const Router& router, std::string_view method, std::string_view path) {
    const RouteMatch match = router.find(method, path);
    std::string text;
    if (!match.route) {
        if (match.allowed.empty()) return "404";
        text = "405:";
        for (const std::string& allowed : match.allowed)
            text += " " + allowed;
        return text;
    }
    text = match.route->method();
    for (std::size_t i = 0; i < match.values.size(); ++i)
        text += " " + match.route->names()[i] + "=" + match.values[i];
    return text;
}

}  // namespace

TEST_CASE("a literal path is found as it is, and a trailing slash makes another path") {
    Router router;
    add(router, "GET", "/");
    add(router, "GET", "/users");
    CHECK(found(router, "GET", "/") == "GET");
    CHECK(found(router, "GET", "/users") == "GET");
    CHECK(found(router, "GET", "/users/") == "404");
    CHECK(found(router, "GET", "/Users") == "404");
    CHECK(found(router, "GET", "*") == "404");
}

TEST_CASE("a parameter matches one segment that is not empty, decoded after the path was divided") {
    Router router;
    add(router, "GET", "/users/{id}");
    add(router, "GET", "/users/{user}/posts/{post}");
    CHECK(found(router, "GET", "/users/7") == "GET id=7");
    CHECK(found(router, "GET", "/users/a%20b%2Fc") == "GET id=a b/c");
    CHECK(found(router, "GET", "/users/") == "404");
    CHECK(found(router, "GET", "/users/7/posts/9") == "GET user=7 post=9");
    CHECK(found(router, "GET", "/users/7/posts") == "404");
}

TEST_CASE("a tail matches everything below, also nothing") {
    Router router;
    add(router, "GET", "/files/{path...}");
    CHECK(found(router, "GET", "/files/a/b%20c/d") == "GET path=a/b c/d");
    CHECK(found(router, "GET", "/files/") == "GET path=");
    CHECK(found(router, "GET", "/files") == "404");
}

TEST_CASE("a literal goes before a parameter and a parameter before a tail, with a second try when it leads nowhere") {
    Router router;
    add(router, "GET", "/a/b");
    add(router, "GET", "/a/{x}");
    add(router, "GET", "/{rest...}");
    add(router, "GET", "/{x}/c/d");
    CHECK(found(router, "GET", "/a/b") == "GET");
    CHECK(found(router, "GET", "/a/c") == "GET x=c");
    CHECK(found(router, "GET", "/a/c/d") == "GET x=a");
    CHECK(found(router, "GET", "/a/c/e") == "GET rest=a/c/e");
    CHECK(found(router, "GET", "/%61/b") == "GET");
}

TEST_CASE("a known path with another method tells what it allows, over all routes that match it") {
    Router router;
    add(router, "GET", "/things/all");
    add(router, "POST", "/things/{id}");
    add(router, "DELETE", "/things/{id}");
    CHECK(found(router, "PUT", "/things/all") == "405: DELETE GET HEAD POST");
    CHECK(found(router, "PUT", "/things/1") == "405: DELETE POST");
    CHECK(found(router, "POST", "/things/all") == "POST id=all");
    CHECK(found(router, "HEAD", "/things/all") == "GET");
}

TEST_CASE("a malformed route and a second handler are refused") {
    Router router;
    add(router, "GET", "/a/{x}");
    CHECK_THROWS_AS(add(router, "GET", "a"), ValueError);
    CHECK_THROWS_AS(add(router, "GET", ""), ValueError);
    CHECK_THROWS_AS(add(router, "GET", "/a/{x}"), ValueError);
    CHECK_THROWS_AS(add(router, "GET", "/a/{other}"), ValueError);
    CHECK_THROWS_AS(add(router, "GET", "/a{x}"), ValueError);
    CHECK_THROWS_AS(add(router, "GET", "/{}"), ValueError);
    CHECK_THROWS_AS(add(router, "GET", "/{x...}/b"), ValueError);
    CHECK_THROWS_AS(add(router, "GET", "/{x}/{x}"), ValueError);
    CHECK_THROWS_AS(add(router, "", "/b"), ValueError);
}
