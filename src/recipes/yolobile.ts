// YOLObile: Cai et al. 2021 (arXiv 2009.05697). The same kernel position is zero throughout a block of
// inputs and outputs, in convolutions of every size; weights come to it by ADMM as in the released code,
// or by reweighting as in the paper's text.

import { admm } from '../compress/solvers/admm.ts'
import { reweighted } from '../compress/solvers/reweighted.ts'
import type { Solver } from '../compress/solvers/solver.ts'
import { blockPunched } from '../compress/structures/block-punched.ts'
import { maskedRecipe } from './masked.ts'
import type { Recipe } from './recipe.ts'

const punchedBy = (name: string, solver: Solver): Recipe =>
  maskedRecipe({
    name,
    paper: 'https://arxiv.org/abs/2009.05697',
    solver,
    allows: (structure) => structure.startsWith(blockPunched.name),
  })

/** Punched blocks by price and sensitivity; weights are drawn to them by ADMM. */
export const yolobile = punchedBy('yolobile', admm())

/** The same plan; blocks fade under a penalty that counts them. */
export const yolobileReweighted = punchedBy('yolobile-reweighted', reweighted())
