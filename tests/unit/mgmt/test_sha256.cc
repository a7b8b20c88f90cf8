// SPDX-License-Identifier: Apache-2.0
//
// SHA-256 against the examples of FIPS 180-4 and NIST's long messages.
#include <string>

#include "mgmt/sha256.h"
#include "suite.h"

namespace {

using npu::model::Sha256;

std::string Hex(const npu::model::Sha256Digest& digest) {
  std::string text;
  for (uint8_t byte : digest) {
    text += "0123456789abcdef"[byte >> 4];
    text += "0123456789abcdef"[byte & 15];
  }
  return text;
}

std::string HashOf(const std::string& text) {
  return Hex(npu::model::Sha256Of(text.data(), text.size()));
}

void Vectors(void**) {
  assert_string_equal(HashOf("").c_str(), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  assert_string_equal(HashOf("abc").c_str(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  assert_string_equal(HashOf("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq").c_str(),
                      "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  assert_string_equal(HashOf(std::string(1000000, 'a')).c_str(),
                      "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

// However a message is cut into pieces, around every block boundary.
void Pieces(void**) {
  std::string message;
  for (int i = 0; i < 300; ++i) message += static_cast<char>(i * 7);
  for (size_t length = 0; length <= message.size(); ++length) {
    const auto whole = npu::model::Sha256Of(message.data(), length);
    for (size_t piece : {1, 3, 63, 64, 65, 127}) {
      Sha256 hash;
      for (size_t at = 0; at < length; at += piece) hash.Update(message.data() + at, std::min(piece, length - at));
      assert_true(hash.Finish() == whole);
    }
  }
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {cmocka_unit_test(Vectors), cmocka_unit_test(Pieces)};
  return cmocka_run_group_tests_name("mgmt.sha256", tests, nullptr, nullptr);
}
