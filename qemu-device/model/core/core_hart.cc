// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-or-later
#include "core/core_env.h"
#include "hart/hart_impl.h"

template class npu::model::Hart<npu::model::CoreEnv>;
