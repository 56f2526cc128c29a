"""Second cycle of cifar10-plain from its kept weights of the first: python notebooks/drafts/second_cycle.py."""
import dataclasses
from camlib.training import recipes, RECIPES, cifar10
n="cifar10-plain"; state=recipes.kept_weights(n)
one=RECIPES[n].train
def train(module, run):
    module.load_state_dict(state)
    full=cifar10.CYCLES; fit=cifar10.fit; calls=[]
    def only_second(*a,**k):
        calls.append(1)
        return fit(*a,**k) if len(calls)==2 else 0.0
    cifar10.fit=only_second
    return one(module, run)
recipes._recipes[n]=dataclasses.replace(RECIPES[n],accuracy=0.0,train=train)
print(n, recipes.train(n,0,say=lambda l: print(n,l,flush=True)))
