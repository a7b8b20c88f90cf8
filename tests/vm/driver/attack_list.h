// SPDX-License-Identifier: Apache-2.0
//
// The attacks, each as struct attack says.
#ifndef NPU_TESTS_VM_ATTACK_LIST_H
#define NPU_TESTS_VM_ATTACK_LIST_H

#include "attack.h"

int attack_handles(struct party* me);
int attack_offsets(struct party* me);
int attack_doorbells(struct party* me);
int attack_fresh_memory(struct party* me);
int attack_dying(struct party* me);
int attack_pointers(struct party* me);
int attack_bounds(struct party* me);
int attack_garbage(struct party* me);
int attack_indirect(struct party* me);
int attack_leftovers(struct party* me);

#endif  // NPU_TESTS_VM_ATTACK_LIST_H
