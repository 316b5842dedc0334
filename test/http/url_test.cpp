#include "support/harness.hpp"

#include <weft/http/url.hpp>

using namespace weft::http;

TEST_CASE("percent-decoding replaces each escaped byte and refuses what is no escape") {
    CHECK(percent_decode("a%20b%C3%A9") == "a b\xc3\xa9");
    CHECK(percent_decode("+") == "+");
    CHECK(percent_decode("") == "");
    CHECK_FALSE(percent_decode("%2"));
    CHECK_FALSE(percent_decode("a%"));
    CHECK_FALSE(percent_decode("%zz"));
}

TEST_CASE("what percent_encode gives is decoded to the same") {
    std::string every;
    for (int c = 0; c < 256; ++c)
        every += static_cast<char>(c);
    CHECK(percent_decode(percent_encode(every)) == every);
    CHECK(percent_encode("a b/~") == "a%20b%2F~");
}

TEST_CASE("a query keeps order, repetitions and names without a value, and is lenient with stray percent signs") {
    const QueryParameters query = parse_query("a=1&b=x+y%21&a=2&flag&&c=100%&=v");
    REQUIRE(query.size() == 6);
    CHECK(query[0] == std::pair<std::string, std::string>("a", "1"));
    CHECK(query[1].second == "x y!");
    CHECK(query[2].second == "2");
    CHECK(query[3] == std::pair<std::string, std::string>("flag", ""));
    CHECK(query[4].second == "100%");
    CHECK(query[5] == std::pair<std::string, std::string>("", "v"));
}
