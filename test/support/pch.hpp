// Precompiled for the tests; each test includes what it uses all the same.
#include "harness.hpp"
