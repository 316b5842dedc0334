#include "support/harness.hpp"

using namespace weft;

TEST_CASE("Bytes hold a copy of what they are made of") {
    std::string text = "hello";
    Bytes bytes(text);
    text[0] = 'j';
    CHECK(bytes == "hello");
    CHECK(bytes.size() == 5);
    CHECK(bytes.str() == "hello");
    CHECK(bytes[1] == std::byte{'e'});
    CHECK(Bytes(bytes.span().first(2)) == "he");
    CHECK(Bytes().empty());
    CHECK(Bytes("").text() == "");
}

TEST_CASE("copying copies, moving moves and empties the source") {
    Bytes a("abc");
    Bytes b = a;
    b.append("d");
    CHECK(a == "abc");
    CHECK(b == "abcd");
    const std::byte* where = b.data();
    Bytes c = std::move(b);
    CHECK(c.data() == where);
    CHECK(b.empty());
    a = c;
    CHECK(a == c);
    a = std::move(c);
    CHECK(a.data() == where);
    CHECK(c.empty());
    Bytes& self = a;
    a = self;
    CHECK(a == "abcd");
    a = std::move(self);
    CHECK(a == "abcd");
}

TEST_CASE("append, consume, resize and clear") {
    Bytes bytes;
    std::string expected;
    for (int i = 0; i < 1000; ++i) {
        const std::string piece(static_cast<std::size_t>(i % 17), static_cast<char>('a' + i % 26));
        bytes.append(piece);
        expected += piece;
    }
    CHECK(bytes == expected);
    bytes.consume(0);
    CHECK(bytes == expected);
    bytes.consume(100);
    CHECK(bytes == expected.substr(100));
    bytes.resize(3);
    CHECK(bytes == expected.substr(100, 3));
    bytes.consume(3);
    CHECK(bytes.empty());
    bytes.append("again");
    CHECK(bytes == "again");
    bytes.reserve(1 << 20);
    CHECK(bytes.capacity() >= 1u << 20);
    CHECK(bytes == "again");
    bytes.clear();
    CHECK(bytes.empty());
    CHECK(bytes.capacity() == 0);
}

TEST_CASE("growth is not byte by byte") {
    Bytes bytes;
    int moves = 0;
    const std::byte* where = nullptr;
    for (int i = 0; i < 100'000; ++i) {
        bytes.append("x");
        if (bytes.data() != where) ++moves;
        where = bytes.data();
    }
    CHECK(bytes.size() == 100'000);
    CHECK(moves < 100);
}

TEST_CASE("as_byte_span views without copying") {
    const std::string text = "view";
    const auto view = as_byte_span(text);
    CHECK(static_cast<const void*>(view.data()) == text.data());
    CHECK(view.size() == 4);
}

static_assert(std::is_nothrow_move_constructible_v<Bytes> && std::is_nothrow_move_assignable_v<Bytes>);
static_assert(!std::is_convertible_v<const char*, Bytes> && !std::is_convertible_v<std::string, Bytes>);
