// The recipes by name: one line per paper.
import { type Registry, registryOf } from '../compress/registry.ts'
import { admmRecipe } from './admm.ts'
import { blkRew } from './blk-rew.ts'
import { darbRecipe } from './darb.ts'
import { epi } from './epi.ts'
import { gradientFlow } from './gradient-flow.ts'
import { gradualRecipe } from './gradual.ts'
import { halp } from './halp.ts'
import { mixed } from './mixed.ts'
import { patdnn } from './patdnn.ts'
import { patternLibraryRecipe } from './pattern-library.ts'
import type { Recipe } from './recipe.ts'
import { ssAuto } from './ss-auto.ts'
import { yolobile, yolobileReweighted } from './yolobile.ts'

/** Every recipe the guided flow can run; the first is its default. */
export const recipes: Registry<Recipe> = registryOf('recipe', [
  mixed,
  halp,
  gradualRecipe,
  admmRecipe,
  patdnn,
  patternLibraryRecipe,
  darbRecipe,
  blkRew,
  ssAuto,
  epi,
  gradientFlow,
  yolobile,
  yolobileReweighted,
])
