#include <weft/http/errors.hpp>

#include <weft/http/status.hpp>

namespace weft::http {

HttpError::HttpError(int status) : HttpError(status, std::string(reason_phrase(status))) {}

}  // namespace weft::http
