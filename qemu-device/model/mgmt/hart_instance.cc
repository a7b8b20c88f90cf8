// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-or-later
#include "hart/hart_impl.h"
#include "mgmt/bus.h"

template class npu::model::Hart<npu::model::MgmtBus>;
