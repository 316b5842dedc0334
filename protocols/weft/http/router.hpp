#pragma once
// Router: finds the handler of a request by its path and method. An App has one; it can be used alone.
//
//     /users            this path only (a trailing slash makes another path)
//     /users/{id}       one segment, not empty; request.param("id") gives it decoded
//     /files/{path...}  everything below /files/, slashes included and possibly nothing; only at the end
//
// At each segment a literal goes before a parameter and a parameter before a tail; a path whose first choice leads
// nowhere is tried with the next one. A tail is decoded but not normalised: `..` in it is the handler's business.

#include <weft/base/unique_function.hpp>
#include <weft/http/request.hpp>
#include <weft/http/response.hpp>
#include <weft/tasks/coro.hpp>

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <type_traits>
#include <unordered_map>
#include <utility>
#include <vector>

namespace weft::http {

/// A request handler: a coroutine that gives a Response or a plain function that returns one; it takes a Request& or
/// nothing.
class Handler {
public:
    using CoroHandler = UniqueFunction<Coro<Response>(Request&)>;
    using PlainHandler = UniqueFunction<Response(Request&)>;

    template <class F>
        requires(!std::is_same_v<std::remove_cvref_t<F>, Handler>)
    Handler(F&& fn) {
        using Fn = std::decay_t<F>;
        if constexpr (std::is_invocable_r_v<Coro<Response>, Fn&, Request&>)
            coro_ = std::forward<F>(fn);
        else if constexpr (std::is_invocable_r_v<Response, Fn&, Request&>)
            plain_ = std::forward<F>(fn);
        else if constexpr (std::is_invocable_r_v<Coro<Response>, Fn&>)
            coro_ = [fn = std::forward<F>(fn)](Request&) mutable { return fn(); };
        else if constexpr (std::is_invocable_r_v<Response, Fn&>)
            plain_ = [fn = std::forward<F>(fn)](Request&) mutable { return fn(); };
        else
            static_assert(std::is_invocable_r_v<Response, Fn&, Request&>,
                          "a handler is Coro<Response>(Request&) or Response(Request&)");
    }

    bool is_plain() const noexcept { return static_cast<bool>(plain_); }
    Response call_plain(Request& request) { return plain_(request); }
    Coro<Response> call(Request& request) { return coro_(request); }

private:
    CoroHandler coro_;
    PlainHandler plain_;
};

/// A handler with the method and path it is for.
class Route {
public:
    Route(std::string method, std::vector<std::string> names, Handler handler)
        : method_(std::move(method)), names_(std::move(names)), handler_(std::move(handler)) {}
    const std::string& method() const noexcept { return method_; }
    /// The names of the path's parameters, in order.
    const std::vector<std::string>& names() const noexcept { return names_; }
    Handler& handler() noexcept { return handler_; }

private:
    std::string method_;
    std::vector<std::string> names_;
    Handler handler_;
};

/// What Router::find() gives.
class RouteMatch {
public:
    /// Null if there is none.
    Route* route = nullptr;
    /// The values of its parameters, decoded, in the order of route->names().
    std::vector<std::string> values;
    /// Without a route: the methods that the path has, sorted; empty if the path is unknown.
    std::vector<std::string> allowed;
};

class Router {
public:
    Router();
    ~Router();
    Router(const Router&) = delete;
    Router& operator=(const Router&) = delete;

    /// ValueError for a path that does not start with / or is malformed, or a second handler for method and path.
    void add(std::string method, std::string_view path, Handler handler);
    /// `raw_path` as it was sent. HEAD finds the handler of GET unless it has its own.
    RouteMatch find(std::string_view method, std::string_view raw_path) const;

private:
    class Node;
    class Search;
    Node& insert(std::string_view path, std::vector<std::string>& names);

    class TextHash {
    public:
        using is_transparent = void;
        std::size_t operator()(std::string_view text) const noexcept { return std::hash<std::string_view>()(text); }
    };
    std::unique_ptr<Node> root_;
    /// Paths without parameters, found without a walk.
    std::unordered_map<std::string, Node*, TextHash, std::equal_to<>> literal_;
};

}  // namespace weft::http
