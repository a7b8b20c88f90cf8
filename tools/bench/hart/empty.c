// SPDX-License-Identifier: Apache-2.0
// Nothing: what starting costs.
int main(void) {
  return 0;
}
