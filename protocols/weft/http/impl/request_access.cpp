#include <weft/http/impl/request_access.hpp>

#include <algorithm>

namespace weft::http::detail {

namespace {

constexpr std::size_t largest_kept_arena = 4096;

std::uint32_t narrow(std::size_t size) noexcept {
    return static_cast<std::uint32_t>(size);
}

/// Where the path starts in an absolute URL of this protocol, or npos.
std::size_t path_of_absolute(std::string_view target) noexcept {
    const std::size_t scheme = target.find("://");
    if (scheme == std::string_view::npos) return scheme;
    const std::string_view name = target.substr(0, scheme);
    if (!equals_ignoring_case(name, "http") && !equals_ignoring_case(name, "https")) return std::string_view::npos;
    const std::size_t authority = scheme + 3;
    const std::size_t end = std::min(target.find_first_of("/?", authority), target.size());
    return end == authority ? std::string_view::npos : end;
}

}  // namespace

void RequestAccess::reset(Request& request) {
    if (request.arena_.capacity() > largest_kept_arena) request.arena_ = std::string();
    request.arena_.clear();
    request.fields_.clear();
    request.method_ = request.target_ = request.path_ = request.query_ = Request::Piece();
    request.decoded_path_.clear();
    request.params_.clear();
    request.query_parameters_.reset();
    request.form_.reset();
    request.body_.clear();
    request.peer_.reset();
    request.version_ = 11;
    request.keep_alive_ = false;
}

Request::Piece RequestAccess::store(Request& request, std::string_view text) {
    Request::Piece piece;
    piece.offset = narrow(request.arena_.size());
    piece.size = narrow(text.size());
    request.arena_.append(text);
    return piece;
}

void RequestAccess::set_line(Request& request, std::string_view method, std::string_view target, int version) {
    request.method_ = store(request, method);
    request.target_ = store(request, target);
    request.version_ = version;
}

void RequestAccess::add_field(Request& request, std::string_view name, std::string_view value) {
    Request::Field field;
    field.name = store(request, name);
    field.value = store(request, value);
    request.fields_.push_back(field);
}

void RequestAccess::append_body(Request& request, std::string_view data) {
    request.body_.append(data);
}

void RequestAccess::set_params(Request& request, const std::vector<std::string>& names,
                               std::vector<std::string> values) {
    for (std::size_t i = 0; i < names.size(); ++i)
        request.params_.emplace_back(names[i], std::move(values[i]));
}

bool RequestAccess::split_target(Request& request) {
    const std::string_view target = request.target();
    std::size_t start = 0;
    if (target == "*") {
        if (request.method() != "OPTIONS") return false;
    } else if (!target.starts_with('/')) {
        start = path_of_absolute(target);
        if (start == std::string_view::npos) return false;
    }
    const std::size_t fragment = std::min(target.find('#'), target.size());
    const std::size_t mark = std::min(target.find('?', start), fragment);
    request.path_.offset = request.target_.offset + narrow(start);
    request.path_.size = narrow(mark - start);
    if (mark < fragment) {
        request.query_.offset = request.target_.offset + narrow(mark + 1);
        request.query_.size = narrow(fragment - mark - 1);
    }
    if (request.path_.size == 0) {
        // "http://host" asks for its root.
        request.path_ = store(request, "/");
    }
    if (request.raw_path().find('%') == std::string_view::npos) return true;
    std::optional<std::string> decoded = percent_decode(request.raw_path());
    if (!decoded) return false;
    request.decoded_path_ = std::move(*decoded);
    return true;
}

}  // namespace weft::http::detail
