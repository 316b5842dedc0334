#include "tls/certificates.hpp"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <cstdio>
#include <memory>
#include <stdexcept>

namespace weft::testing {

namespace {

template <class T, void (*release)(T*)>
struct Release {
    void operator()(T* object) const noexcept { release(object); }
};
using Key = std::unique_ptr<EVP_PKEY, Release<EVP_PKEY, EVP_PKEY_free>>;
using Certificate = std::unique_ptr<X509, Release<X509, X509_free>>;

void check(bool good, const char* what) {
    if (!good) throw std::runtime_error(what);
}

class File {
public:
    explicit File(const std::string& path) : file_(std::fopen(path.c_str(), "w")) { check(file_, "fopen"); }
    File(const File&) = delete;
    File& operator=(const File&) = delete;
    ~File() { std::fclose(file_); }
    std::FILE* get() const noexcept { return file_; }

private:
    std::FILE* file_;
};

void add_extension(X509* certificate, int kind, const char* value) {
    X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, nullptr, kind, value);
    check(extension, "extension");
    X509_add_ext(certificate, extension, -1);
    X509_EXTENSION_free(extension);
}

constexpr long day = 24 * 60 * 60;

class Maker {
public:
    explicit Maker(const TemporaryDirectory& directory) : directory_(directory) {}

    /// Signed by itself if `issuer` is null.
    std::pair<Key, Certificate> make(const std::string& name, const char* common_name, const char* names, long lifetime,
                                     const std::pair<Key, Certificate>* issuer, bool authority) {
        Key key(EVP_EC_gen("prime256v1"));
        check(static_cast<bool>(key), "key");
        Certificate certificate(X509_new());
        X509_set_version(certificate.get(), 2);
        ASN1_INTEGER_set(X509_get_serialNumber(certificate.get()), ++serial_);
        X509_gmtime_adj(X509_getm_notBefore(certificate.get()), -10 * day);
        X509_gmtime_adj(X509_getm_notAfter(certificate.get()), lifetime);
        X509_set_pubkey(certificate.get(), key.get());
        X509_NAME* subject = X509_get_subject_name(certificate.get());
        X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8, reinterpret_cast<const unsigned char*>(common_name),
                                   -1, -1, 0);
        X509_set_issuer_name(certificate.get(), issuer ? X509_get_subject_name(issuer->second.get()) : subject);
        add_extension(certificate.get(), NID_basic_constraints, authority ? "critical,CA:TRUE" : "CA:FALSE");
        if (names) add_extension(certificate.get(), NID_subject_alt_name, names);
        check(X509_sign(certificate.get(), issuer ? issuer->first.get() : key.get(), EVP_sha256()) > 0, "sign");
        check(PEM_write_X509(File(directory_ / (name + ".pem")).get(), certificate.get()) == 1, "write");
        check(PEM_write_PrivateKey(File(directory_ / (name + ".key")).get(), key.get(), nullptr, nullptr, 0, nullptr,
                                   nullptr) == 1,
              "write");
        return {std::move(key), std::move(certificate)};
    }

private:
    const TemporaryDirectory& directory_;
    long serial_ = 100;
};

}  // namespace

Certificates::Certificates() {
    Maker maker(directory_);
    const auto ca = maker.make("ca", "Weft test authority", nullptr, 30 * day, nullptr, true);
    const char* const local = "DNS:localhost,IP:127.0.0.1,DNS:*.weft.test";
    maker.make("server", "localhost", local, 30 * day, &ca, false);
    maker.make("other", "other.test", "DNS:other.test", 30 * day, &ca, false);
    maker.make("expired", "localhost", local, -day, &ca, false);
    maker.make("client", "a client", nullptr, 30 * day, &ca, false);
    maker.make("lonely", "localhost", local, 30 * day, nullptr, false);
}

const Certificates& Certificates::instance() {
    static const Certificates certificates;
    return certificates;
}

}  // namespace weft::testing
