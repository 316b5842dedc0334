#include <weft/http/router.hpp>

#include <weft/base/exceptions.hpp>
#include <weft/http/url.hpp>

#include <algorithm>

namespace weft::http {

/// A position in the tree of path segments.
class Router::Node {
public:
    Route* route_for(std::string_view method) const noexcept {
        Route* get = nullptr;
        for (const auto& route : routes) {
            if (route->method() == method) return route.get();
            if (route->method() == "GET") get = route.get();
        }
        return method == "HEAD" ? get : nullptr;
    }

    std::map<std::string, std::unique_ptr<Node>, std::less<>> literals;
    std::unique_ptr<Node> parameter;
    std::unique_ptr<Node> tail;
    std::vector<std::unique_ptr<Route>> routes;
};

namespace {

/// The first segment of `rest`, which starts behind a slash; `rest` becomes what follows it, with its slash.
std::string_view take_segment(std::string_view& rest) noexcept {
    const std::size_t end = std::min(rest.find('/'), rest.size());
    const std::string_view segment = rest.substr(0, end);
    rest.remove_prefix(end);
    return segment;
}

std::string decode_segment(std::string_view segment) {
    if (segment.find('%') == std::string_view::npos) return std::string(segment);
    return percent_decode(segment).value_or(std::string(segment));
}

enum class SegmentKind { literal, parameter, tail };

/// What a segment of a route's path is; of the last two kinds, `name` is set.
SegmentKind parse_segment(std::string_view segment, std::string& name) {
    const auto malformed = [segment] {
        return ValueError("malformed segment '" + std::string(segment) +
                          "' in a route: parameters are {name} and, at the end, {name...}");
    };
    if (segment.find_first_of("{}") == std::string_view::npos) return SegmentKind::literal;
    if (segment.size() < 3 || segment.front() != '{' || segment.back() != '}') throw malformed();
    std::string_view inner = segment.substr(1, segment.size() - 2);
    const bool tail = inner.ends_with("...");
    if (tail) inner.remove_suffix(3);
    if (inner.empty() || inner.find_first_of("{}.") != std::string_view::npos) throw malformed();
    name = inner;
    return tail ? SegmentKind::tail : SegmentKind::parameter;
}

}  // namespace

Router::Router() : root_(std::make_unique<Node>()) {}
Router::~Router() = default;

Router::Node& Router::insert(std::string_view path, std::vector<std::string>& names) {
    Node* node = root_.get();
    std::string_view rest = path;
    while (!rest.empty()) {
        rest.remove_prefix(1);
        const std::string_view segment = take_segment(rest);
        std::string name;
        const SegmentKind kind = parse_segment(segment, name);
        if (kind == SegmentKind::tail && !rest.empty())
            throw ValueError("{" + name + "...} is not at the end of the route " + std::string(path));
        std::unique_ptr<Node>& next = kind == SegmentKind::literal     ? node->literals[std::string(segment)]
                                      : kind == SegmentKind::parameter ? node->parameter
                                                                       : node->tail;
        if (!next) next = std::make_unique<Node>();
        node = next.get();
        if (kind == SegmentKind::literal) continue;
        if (std::find(names.begin(), names.end(), name) != names.end())
            throw ValueError("the route " + std::string(path) + " has two parameters '" + name + "'");
        names.push_back(std::move(name));
    }
    return *node;
}

void Router::add(std::string method, std::string_view path, Handler handler) {
    if (!path.starts_with('/')) throw ValueError("a route starts with /, not as '" + std::string(path) + "'");
    if (method.empty()) throw ValueError("a route needs a method");
    std::vector<std::string> names;
    Node& node = insert(path, names);
    for (const auto& route : node.routes)
        if (route->method() == method)
            throw ValueError("there is a handler for " + method + " " + std::string(path) + " already");
    const bool literal = names.empty();
    node.routes.push_back(std::make_unique<Route>(std::move(method), std::move(names), std::move(handler)));
    if (literal) literal_[std::string(path)] = &node;
}

/// One look-up: walks the tree with backtracking, and collects the methods of paths that match.
class Router::Search {
public:
    Search(std::string_view method, RouteMatch& match) noexcept : method_(method), match_(match) {}

    /// `rest` is empty or starts with a slash.
    bool walk(const Node& node, std::string_view rest) {
        if (rest.empty()) return accept(node);
        rest.remove_prefix(1);
        const std::string_view from_here = rest;
        std::string segment = decode_segment(take_segment(rest));
        if (auto found = node.literals.find(segment); found != node.literals.end())
            if (walk(*found->second, rest)) return true;
        if (node.parameter && !segment.empty() && walk_with(*node.parameter, std::move(segment), rest)) return true;
        return node.tail && walk_with(*node.tail, decode_segment(from_here), std::string_view());
    }

private:
    bool walk_with(const Node& node, std::string value, std::string_view rest) {
        match_.values.push_back(std::move(value));
        if (walk(node, rest)) return true;
        match_.values.pop_back();
        return false;
    }
    bool accept(const Node& node) {
        match_.route = node.route_for(method_);
        if (match_.route) return true;
        for (const auto& route : node.routes) {
            match_.allowed.push_back(route->method());
            if (route->method() == "GET") match_.allowed.emplace_back("HEAD");
        }
        return false;
    }

    std::string_view method_;
    RouteMatch& match_;
};

RouteMatch Router::find(std::string_view method, std::string_view raw_path) const {
    RouteMatch match;
    if (const auto found = literal_.find(raw_path); found != literal_.end()) {
        match.route = found->second->route_for(method);
        if (match.route) return match;
    }
    if (!raw_path.starts_with('/')) return match;
    if (Search(method, match).walk(*root_, raw_path)) {
        match.allowed.clear();
        return match;
    }
    std::sort(match.allowed.begin(), match.allowed.end());
    match.allowed.erase(std::unique(match.allowed.begin(), match.allowed.end()), match.allowed.end());
    return match;
}

}  // namespace weft::http
