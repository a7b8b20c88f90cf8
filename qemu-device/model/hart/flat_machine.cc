// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-or-later
#include "hart/flat_machine.h"

#include "hart/hart_impl.h"

namespace npu::model {
template class Hart<FlatMachine>;
}
