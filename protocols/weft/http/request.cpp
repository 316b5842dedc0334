#include <weft/http/request.hpp>

#include <weft/base/exceptions.hpp>

namespace weft::http {

namespace {

std::optional<std::string_view> find_parameter(const QueryParameters& parameters, std::string_view name) {
    for (const auto& [key, value] : parameters)
        if (key == name) return value;
    return std::nullopt;
}

}  // namespace

const QueryParameters& Request::query_parameters() const {
    if (!query_parameters_) query_parameters_ = parse_query(query_string());
    return *query_parameters_;
}

std::optional<std::string_view> Request::query(std::string_view name) const {
    if (query_.size == 0) return std::nullopt;
    return find_parameter(query_parameters(), name);
}

std::optional<std::string_view> Request::form(std::string_view name) const {
    if (!form_) {
        std::string_view type = header("content-type").value_or("");
        type = type.substr(0, type.find_first_of("; \t"));
        const bool is_form = equals_ignoring_case(type, "application/x-www-form-urlencoded");
        form_ = is_form ? parse_query(text()) : QueryParameters();
    }
    return find_parameter(*form_, name);
}

std::optional<std::string_view> Request::header(std::string_view name) const noexcept {
    for (const Field& field : fields_)
        if (equals_ignoring_case(view(field.name), name)) return view(field.value);
    return std::nullopt;
}

std::vector<HeaderField> Request::headers() const {
    std::vector<HeaderField> headers;
    headers.reserve(fields_.size());
    for (const Field& field : fields_)
        headers.emplace_back(view(field.name), view(field.value));
    return headers;
}

std::string_view Request::param(std::string_view name) const {
    for (const auto& [key, value] : params_)
        if (key == name) return value;
    throw ValueError("the route has no parameter '" + std::string(name) + "'");
}

}  // namespace weft::http
