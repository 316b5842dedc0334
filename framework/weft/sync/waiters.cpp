#include <weft/sync/waiters.hpp>

namespace weft::detail {

void throw_bound_elsewhere(const std::string& primitive) {
    throw RuntimeError(primitive + " is bound to a different event loop");
}

std::string primitive_text(const char* type, const std::string& state, std::size_t waiters) {
    std::string text = "<" + std::string(type) + " [" + state;
    if (waiters > 0) text += ", waiters:" + std::to_string(waiters);
    return text + "]>";
}

}  // namespace weft::detail
